//! The page in a real browser: search, an object, zoom by mouse and keyboard; no error on the console, and no request to
//! anywhere. Chromium is driven by its own protocol over two pipes. Where there is none, the tests say so and pass.
#![cfg(unix)]

use refscope::sink::{Clock, Recorder};
use refscope::{Rc, Scope, render};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The path of a Chromium, by the environment (`CHROMIUM`) or by its usual names.
fn chromium() -> Option<String> {
    let named = std::env::var("CHROMIUM").ok();
    let usual = ["chromium", "chromium-browser", "google-chrome", "chrome"].map(str::to_owned);
    named.into_iter().chain(usual).find(|name| {
        let mut version = Command::new(name);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    })
}

/// A browser with one page open.
struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    last: u64,
    /// What went wrong, and what was asked for.
    errors: Vec<String>,
    requests: Vec<String>,
    profile: PathBuf,
}

impl Browser {
    fn open(url: &str) -> Option<Self> {
        let Some(program) = chromium() else {
            println!("skipped: no Chromium here (set CHROMIUM to one)");
            return None;
        };
        static PROFILES: AtomicU32 = AtomicU32::new(0);
        let number = PROFILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("refscope-browser-{}-{number}", std::process::id());
        let profile = std::env::temp_dir().join(name);
        // Chromium reads its protocol from descriptor 3 and writes it to 4.
        let mut process = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 >/dev/null 2>&1"#, "sh", &program])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--window-size=1400,900",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) =
            (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let (errors, requests) = (Vec::new(), Vec::new());
        let mut browser =
            Self { process, to, from, session: None, last: 0, errors, requests, profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime.enable", "Log.enable", "Network.enable", "Page.enable"] {
            browser.call(domain, json!({}));
        }
        browser.call("Page.navigate", json!({"url": url}));
        browser.wait("document.documentElement?.dataset.ready === '1'");
        Some(browser)
    }

    /// Calls a method of the protocol, and notes what happens meanwhile.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let mut bytes = Vec::new();
            assert_ne!(self.from.read_until(0, &mut bytes).unwrap(), 0, "the browser is gone");
            bytes.pop();
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            let told = &answer["params"];
            match answer["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.errors.push(told.to_string()),
                Some("Log.entryAdded") if told["entry"]["level"] == "error" => {
                    self.errors.push(told.to_string());
                }
                Some("Runtime.consoleAPICalled") if told["type"] == "error" => {
                    self.errors.push(told.to_string());
                }
                Some("Network.requestWillBeSent") => {
                    self.requests.push(told["request"]["url"].as_str().unwrap_or("?").to_owned());
                }
                _ => {}
            }
        }
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    fn wait(&mut self, expression: &str) {
        let start = Instant::now();
        while self.evaluate(expression) != true {
            assert!(start.elapsed() < Duration::from_secs(30), "{expression}: {:?}", self.errors);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn key(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" && key.len() == 1 { key } else { "" };
            self.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "text": text}));
        }
    }

    fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        let held = i32::from(kind != "mouseReleased");
        self.call(
            "Input.dispatchMouseEvent",
            json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": held, "clickCount": 1}),
        );
    }

    /// What a person would look at.
    fn screenshot(&mut self, name: &str) {
        let taken = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let data = taken["data"].as_str().unwrap();
        assert!(data.len() > 20_000, "{name}: an empty page is smaller");
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png.base64"));
        std::fs::write(path, data).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Writes a page of what `f` does, and gives its address.
fn page(name: &str, f: impl FnOnce()) -> String {
    let recorder = Recorder::builder().budget(256 << 20).clock(Clock::Precise).build();
    Scope::new(recorder.clone()).run(f);
    let page = render::html(&recorder.recording().timelines());
    assert!(
        !page.contains("http://") || page.matches("http://").count() == 1,
        "only SVG's namespace"
    );
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    std::fs::write(&path, page).unwrap();
    format!("file://{}", path.display())
}

struct Session;
struct Other;

#[test]
fn search_open_zoom() {
    let url = page("small", || {
        let kept = Rc::new(Session);
        refscope::label(&kept, "</script> & \"quoted\"");
        let clones: Vec<_> = (0..40).map(|_| kept.clone()).collect();
        drop(clones);
        std::mem::forget(kept.clone());
        drop(kept);
        (0..5).for_each(|_| drop(Rc::new(Other)));
    });
    let Some(mut browser) = Browser::open(&url) else { return };
    assert_eq!(
        browser.evaluate("document.querySelector('#main h2').textContent"),
        "1 object alive when the recording stopped, kept by 1 line; 0 B"
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('.item').length"), 6);
    browser.screenshot("overview");

    // Search, by the keyboard.
    browser.key("/");
    browser.call("Input.insertText", json!({"text": "other"}));
    browser.wait("document.querySelectorAll('.item').length === 5");
    browser.evaluate("document.activeElement.select()");
    browser.call("Input.insertText", json!({"text": "session alive"}));
    browser.wait("document.querySelectorAll('.item').length === 1");
    browser.key("Escape");

    // Open the object by the leak's entry: the holder is marked, and its line of source is there.
    browser.evaluate("document.querySelector('.leak').click()");
    browser.wait("document.querySelectorAll('.row.fault').length === 1");
    let source = browser.evaluate("document.querySelector('#main .src').textContent");
    assert!(source.as_str().unwrap().contains("std::mem::forget(kept.clone())"), "{source}");
    let title = browser.evaluate("document.querySelector('#main h2').textContent");
    assert!(
        title.as_str().unwrap().contains("“</script> & \"quoted\"” alive, 1 strong"),
        "{title}"
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('.row').length"), 42);
    browser.screenshot("object");

    // Zoom by the mouse, then by keys, and back.
    let zoom = |browser: &mut Browser| -> Option<(f64, f64)> {
        let hash = browser.evaluate("new URLSearchParams(location.hash.slice(1)).get('z') || ''");
        let (a, b) = hash.as_str()?.split_once('-')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    };
    let part = |browser: &mut Browser, side: &str| {
        browser
            .evaluate(&format!("document.querySelector('#steps').getBoundingClientRect().{side}"))
            .as_f64()
            .unwrap()
    };
    let (left, width, top) =
        (part(&mut browser, "left"), part(&mut browser, "width"), part(&mut browser, "top"));
    assert_eq!(zoom(&mut browser), None);
    browser.mouse("mousePressed", left + width * 0.25, top + 40.0);
    browser.mouse("mouseMoved", left + width * 0.4, top + 40.0);
    browser.mouse("mouseMoved", left + width * 0.5, top + 40.0);
    browser.mouse("mouseReleased", left + width * 0.5, top + 40.0);
    browser.wait("location.hash.includes('z=')");
    let (a, b) = zoom(&mut browser).unwrap();
    assert!(a > 10.0 && b < 60.0 && b - a > 10.0, "{a}-{b}");
    browser.key("+");
    let (closer, further) = zoom(&mut browser).unwrap();
    assert!(further - closer < b - a, "{closer}-{further}");
    browser.key("ArrowRight");
    assert!(zoom(&mut browser).unwrap().0 > closer);
    browser.key("0");
    assert_eq!(zoom(&mut browser), None);

    // By time, in the other theme; the next object; the overview.
    browser.evaluate("document.querySelector('#axis').click()");
    browser.evaluate("document.querySelector('#theme').click()");
    assert_eq!(browser.evaluate("document.documentElement.dataset.theme"), "dark");
    browser.screenshot("dark");
    browser.key("Escape");
    browser.wait("document.querySelectorAll('.leak').length === 1");

    assert_eq!(browser.errors, [""; 0], "the console is silent");
    let others: Vec<_> = browser.requests.iter().filter(|url| !url.starts_with("data:")).collect();
    assert!(
        others.iter().all(|other| other.starts_with(&url)),
        "nothing else is asked for: {others:?}"
    );
}

#[test]
fn twenty_thousand_objects() {
    let url = page("large", || {
        for i in 0..20_000_u32 {
            let one = Rc::new(i);
            let two = one.clone();
            drop(one);
            if i % 7 == 0 {
                std::mem::forget(two);
            }
        }
    });
    let Some(mut browser) = Browser::open(&url) else { return };
    let took = browser.evaluate("Math.round(window.drawn)");
    println!("drawn {took} ms after the page's start");
    assert!(browser.evaluate("document.querySelectorAll('.item').length").as_u64() < Some(100));
    // To the end of the list, where the last object is in sight.
    browser.evaluate("document.querySelector('#list').scrollTop = 1e9");
    browser.wait("[...document.querySelectorAll('.item')].some((item) => item.textContent.includes('#') && item.offsetTop > 800000)");
    let frames = "(() => { const start = performance.now(); const list = document.querySelector('#list'); for (let i = 0; i < 60; i++) { list.scrollTop = i * 9000; window.list(); } return (performance.now() - start) / 60; })()";
    println!("{} ms a scrolled screen", browser.evaluate(frames));
    assert_eq!(browser.errors, [""; 0]);
}
