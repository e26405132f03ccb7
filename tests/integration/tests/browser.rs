//! The page in a real browser, at several sizes of recordings and of windows, light and dark: search, findings, objects, zoom, Back
//! and focus, copying, contrast; no error on the console, and no request to anywhere. Chromium is driven by its own protocol over
//! two pipes. Where there is none, the tests say so and pass.
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
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
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

    fn click(&mut self, selector: &str) {
        // What is scrolled is drawn anew by the next frame, and a click on what is replaced meanwhile is none.
        self.evaluate(&format!(
            "document.querySelector({selector:?}).scrollIntoView({{block: 'center'}})"
        ));
        self.frames();
        let find = format!(
            "(() => {{ const b = document.querySelector({selector:?}).getBoundingClientRect(); \
             return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        );
        let at = self.evaluate(&find);
        let (x, y) = (at[0].as_f64().unwrap(), at[1].as_f64().unwrap());
        self.mouse("mousePressed", x, y);
        self.mouse("mouseReleased", x, y);
    }

    fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({selector:?}).textContent"));
        text.as_str().unwrap_or_else(|| panic!("{selector}: {text}")).to_owned()
    }

    fn count(&mut self, selector: &str) -> u64 {
        let count = self.evaluate(&format!("document.querySelectorAll({selector:?}).length"));
        count.as_u64().unwrap()
    }

    /// A window of so many pixels; a narrow one is a phone's.
    fn resize(&mut self, width: u32, height: u32) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}),
        );
        self.wait(&format!("innerWidth === {width}"));
        self.frames();
    }

    /// Waits until what has changed is drawn.
    fn frames(&mut self) {
        self.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))",
        );
    }

    /// Nothing stands out of the window to the side; on a phone a finger can hit what can be pressed; and all text in sight stands
    /// out from what is behind it, by 4.5 to 1 as WCAG's level AA has it.
    fn is_usable(&mut self, view: &str) {
        let out = self.evaluate(
            "[document.scrollingElement, $('main'), $('list')].map((it) => it.scrollWidth - Math.min(it.clientWidth, innerWidth))",
        );
        assert_eq!(out, json!([0, 0, 0]), "{view}: pixels beyond the window, the view, the list");
        let small = self.evaluate(
            "innerWidth > 600 ? [] : [...document.querySelectorAll('button, input')].filter((it) => it.checkVisibility()) \
             .map((it) => [it.textContent, it.getBoundingClientRect()]).filter(([, it]) => it.height < 24 || it.width < 24) \
             .map(([text, it]) => `${text}: ${it.width} by ${it.height}`)",
        );
        assert_eq!(small, json!([]), "{view}: too small for a finger");
        let read = self.evaluate(READABLE);
        assert!(read["texts"].as_u64().unwrap() > 10, "{view}: {read}");
        assert_eq!(read["faint"], json!([]), "{view}: text with less contrast than 4.5");
    }

    fn dark(&mut self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What a person would look at.
    fn screenshot(&mut self, name: &str) {
        let taken = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let data = taken["data"].as_str().unwrap();
        assert!(data.len() > 12_000, "{name}: an empty page is smaller");
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png.base64"));
        std::fs::write(path, data).unwrap();
    }

    /// No error on the console, and no request but for the page.
    fn was_quiet(&mut self, url: &str) {
        assert_eq!(self.errors, [""; 0], "the console is silent");
        let others: Vec<_> =
            self.requests.iter().filter(|other| !other.starts_with("data:")).collect();
        assert!(
            others.iter().all(|other| other.starts_with(url)),
            "nothing else is asked for: {others:?}"
        );
    }
}

/// The texts in sight with less contrast than 4.5 to what is behind them, and how many texts there are.
const READABLE: &str = r#"(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((it, k) => it * a / 255 + below[k] * (1 - a / 255));
  const behind = (it) => {
    const layers = [];
    for (let at = it; at; at = at.parentElement) layers.push(channels(getComputedStyle(at).backgroundColor));
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((it) => it / 255).map((it) => it <= .04045 ? it / 12.92 : ((it + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const faint = [];
  let texts = 0;
  const look = (it, color, text) => {
    const below = behind(it), [a, b] = [over(channels(color), below), below].map(luminance);
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    texts++;
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} <${it.localName} class="${it.getAttribute("class") || ""}"> ${text.trim().slice(0, 40)}`);
  };
  for (const it of document.querySelectorAll("body *")) {
    const text = [...it.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join("");
    if (!text.trim() || !it.checkVisibility() || it.closest("script, style")) continue;
    const style = getComputedStyle(it);
    look(it, it instanceof SVGElement ? style.fill : style.color, text);
  }
  const input = $("search");
  if (input.checkVisibility()) look(input, getComputedStyle(input, "::placeholder").color, input.placeholder);
  return { texts, faint };
})()"#;

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Writes a page of what `f` does, and gives its address.
fn page(name: &str, f: impl FnOnce()) -> String {
    let recorder = Recorder::builder().budget(1 << 30).clock(Clock::Precise).build();
    Scope::new(recorder.clone()).run(f);
    let mut recording = recorder.recording();
    assert_eq!(recording.lost(), 0);
    recording.resolve_stacks();
    let start = Instant::now();
    let page = render::html(&recording.timelines());
    println!("{name}: {} KiB, made in {:?}", page.len() >> 10, start.elapsed());
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

/// The row of a handle that was dropped says on which line.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn drops_have_lines() {
    use refscope::stack;

    #[inline(never)]
    fn give_back(session: Rc<Session>) {
        drop(std::hint::black_box(session)); // <- give back
        std::hint::black_box(());
    }

    let url = page("drops", || {
        stack::set_depths(stack::Depths { drop: 24, ..stack::Depths::default() });
        let kept = Rc::new(Session);
        (0..3).for_each(|_| give_back(kept.clone()));
        std::mem::forget(kept);
        stack::set_depths(stack::Depths::default());
    });
    let Some(mut browser) = Browser::open(&url) else { return };
    browser.evaluate("document.querySelector('.item').click()");
    browser.wait("document.querySelectorAll('.row').length === 4");
    let line = include_str!("browser.rs").lines().position(|l| l.ends_with("// <- give back"));
    let place = format!("browser.rs:{}", line.unwrap() + 1);
    let rows = browser.evaluate("document.querySelector('#rows').textContent");
    let rows = rows.as_str().unwrap();
    assert_eq!(rows.matches("→ drop ").count(), 3, "{rows}");
    assert_eq!(rows.matches(&place).count(), 3, "{rows}");
    // What each line made, and what ended it: in the page as `balance` says it.
    let balance = browser.evaluate("document.querySelector('#balance').textContent");
    let balance = balance.as_str().unwrap().replace("copy", "");
    let first = balance.find("1 alive").expect("the first handle is alive");
    let clones = balance.find("3 × clone, none alive").unwrap_or_else(|| panic!("{balance}"));
    assert!(first < clones, "what is alive comes first: {balance}");
    let ended = balance[clones..].find("3 × drop at").map(|at| &balance[clones + at..]);
    assert!(ended.is_some_and(|ended| ended.contains(&place)), "{balance}");
    browser.screenshot("drops");
}

struct Row(#[allow(dead_code)] u32);

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
    // The process runs on, so that the recording has not stopped.
    assert_eq!(browser.text("#main h1"), "1 object alive, kept by 1 line; 0 B");
    assert_eq!(browser.count(".item"), 6);
    // The culprit's source comes before anything else.
    assert!(browser.text(".finding .excerpt .at").contains("std::mem::forget(kept.clone())"));
    assert_eq!(browser.text(".finding .excerpt u"), "clone");
    assert!(browser.text("#program").starts_with("browser-"), "the program is named");
    assert!(browser.text("#origin").contains(" UTC · on "));
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
    browser.click(".finding .open");
    browser.wait("document.querySelector('#lifeline') !== null");
    browser.screenshot("object");
    browser.click("#lifeline");
    browser.wait("document.querySelectorAll('.row.fault').length === 1");
    assert_eq!(browser.evaluate("document.activeElement.className"), "row fault");
    assert!(browser.text("#main .src").contains("std::mem::forget(kept.clone())"));
    let title = browser.text("#main h1");
    assert!(title.contains("“</script> & \"quoted\"” alive, 1 strong"), "{title}");
    browser.screenshot("lifeline");
    browser.evaluate("document.querySelector('#main').scrollTop = 0");

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
    browser.mouse("mousePressed", left + width * 0.5, top + 40.0);
    browser.mouse("mouseMoved", left + width * 0.6, top + 40.0);
    browser.mouse("mouseMoved", left + width * 0.7, top + 40.0);
    browser.mouse("mouseReleased", left + width * 0.7, top + 40.0);
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
    browser.click("#axis");
    browser.wait("location.hash.includes('by=time')");
    browser.evaluate("document.querySelector('#theme').click()");
    assert_eq!(browser.evaluate("document.documentElement.dataset.theme"), "dark");
    browser.is_usable("the dark theme by its button");
    browser.screenshot("dark");
    browser.key("Escape");
    browser.wait("document.querySelectorAll('.finding').length === 1");
    browser.was_quiet(&url);
}

/// Objects of which each has a holder of its own: the first handle has ended, the number of the one that is left differs.
fn many(count: u32) {
    for i in 0..count {
        let one = Rc::new(Row(i));
        for _ in 0..i % 3 {
            drop(one.clone());
        }
        let two = one.clone();
        drop(one);
        if i % 7 == 0 {
            std::mem::forget(two);
        }
    }
    let first = Rc::new(Session);
    refscope::label(&first, "a session");
    std::mem::forget(first);
}

/// What holds for each size of a recording, each window, and both themes.
fn drive(name: &str, count: u32) {
    let url = page(name, || many(count));
    let start = Instant::now();
    let Some(mut browser) = Browser::open(&url) else { return };
    let drawn = browser.evaluate("Math.round(window.drawn)");
    let heap = browser.evaluate("Math.round(performance.memory.usedJSHeapSize / 1048576)");
    println!("{name}: drawn {drawn} ms after its start, {heap} MiB; opened {:?}", start.elapsed());
    let permissions = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    browser.call("Browser.grantPermissions", permissions);
    let is_at_night = "matchMedia('(prefers-color-scheme: dark)').matches";
    for (width, height) in [(1280, 800), (390, 844)] {
        for is_dark in [false, true] {
            browser.evaluate("location.hash = ''");
            browser.resize(width, height);
            browser.dark(is_dark);
            browser.wait(&format!("{is_at_night} === {is_dark}"));
            let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground != "rgb(255, 255, 255)", is_dark, "{ground}");
            let theme = if is_dark { "dark" } else { "light" };
            let window = Window { name: format!("{name}-{width}-{theme}"), width, height, count };
            let start = Instant::now();
            window.overview(&mut browser);
            window.list(&mut browser);
            window.search(&mut browser);
            window.finding_and_back(&mut browser);
            println!("{}: {:?}", window.name, start.elapsed());
        }
    }
    browser.was_quiet(&url);
}

/// The page of a recording of so many objects, in a window of that size.
struct Window {
    name: String,
    width: u32,
    height: u32,
    count: u32,
}

impl Window {
    /// How many objects the first finding keeps.
    fn kept(&self) -> u64 {
        u64::from(self.count.div_ceil(7))
    }

    fn screenshot(&self, browser: &mut Browser, view: &str) {
        browser.screenshot(&format!("{}-{view}", self.name));
    }

    fn overview(&self, browser: &mut Browser) {
        let title = browser.text("#main h1");
        let alive = browser_number(self.kept() + 1);
        assert!(title.starts_with(&format!("{alive} objects alive")), "{title}");
        // The head names the program, the date and the host.
        assert!(browser.text("#program").starts_with("browser-"));
        let origin = browser.text("#origin");
        assert!(origin.contains(" UTC · on ") && origin.contains(&alive), "{origin}");
        browser.is_usable(&format!("{}: overview", self.name));
        // The source of the line at fault is in sight at once.
        let at = browser
            .evaluate("document.querySelector('.finding .at').getBoundingClientRect().bottom");
        assert!(at.as_f64().unwrap() < f64::from(self.height), "{at}");
        assert!(browser.text(".finding .at").contains("let two = one.clone();"));
        self.screenshot(browser, "overview");

        // What an editor opens can be copied.
        browser.click(".finding .copy");
        browser.wait("document.querySelector('.finding .copy').textContent === 'copied'");
        let read = json!({"expression": "navigator.clipboard.readText()", "awaitPromise": true});
        let copied = browser.call("Runtime.evaluate", read)["result"]["value"].clone();
        let (file, line) = copied.as_str().unwrap().rsplit_once(':').unwrap();
        let source = include_str!("browser.rs").lines().nth(line.parse::<usize>().unwrap() - 1);
        assert!(file.ends_with("tests/browser.rs"), "{copied}");
        assert_eq!(source.map(str::trim), Some("let two = one.clone();"), "{copied}");
        // For the next time.
        browser.evaluate("navigator.clipboard.writeText('')");
    }

    fn list(&self, browser: &mut Browser) {
        // On a phone behind a button.
        if self.width < 600 {
            assert_eq!(browser.evaluate("getComputedStyle(nav).display"), "none");
            browser.click("#objects");
            browser.wait("getComputedStyle(nav).display !== 'none'");
        }
        let (items, count) = (browser.count(".item"), self.count);
        assert!(items > 5 && items < 60, "{items} of {count} are in the page");
        browser.is_usable(&format!("{}: list of the living", self.name));
        self.screenshot(browser, "list");
        // To its end, where the last object is.
        browser.evaluate("document.querySelector('#list').scrollTop = 1e9");
        let last = if (count - 1).is_multiple_of(7) { count - 2 } else { count - 1 };
        let row_of_last = format!(
            "(() => {{ const all = [...document.querySelectorAll('.item')], one = all[all.length - 1], \
             box = document.querySelector('#list').getBoundingClientRect(), it = one.getBoundingClientRect(); \
             return Number(one.dataset.id) === objects.id[{last}] && Math.abs(it.bottom - box.bottom) < 3; }})()"
        );
        browser.wait(&row_of_last);
        browser.is_usable(&format!("{}: end of the list", self.name));
        let frames = "(() => { const start = performance.now(), box = document.querySelector('#list'); for (let i = 0; i < 60; i++) { box.scrollTop = i * 9000; list(); } box.scrollTop = 0; list(); return (performance.now() - start) / 60; })()";
        let frame = browser.evaluate(frames).as_f64().unwrap();
        println!("{}: {frame:.1} ms a scrolled screen", self.name);
    }

    /// The holder's line finds what it holds, and not what it held.
    fn search(&self, browser: &mut Browser) {
        let line = browser.evaluate("findings[0].place.copied");
        let line = line.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        browser.evaluate("document.querySelector('#search').focus()");
        browser.evaluate("document.querySelector('#search').select()");
        let start = Instant::now();
        browser.call("Input.insertText", json!({"text": line}));
        let shown = format!("{0} objects, {0} alive", browser_number(self.kept()));
        browser.wait(&format!("document.querySelector('#count').textContent === {shown:?}"));
        println!("{}: found {line} in {:?}", self.name, start.elapsed());
        browser.key("Escape");
    }

    /// A finding opens to all its objects, and the last of these to its own holder; Back leads to what was left.
    fn finding_and_back(&self, browser: &mut Browser) {
        let kept = self.kept();
        browser.evaluate("location.hash = ''");
        browser.wait("document.querySelectorAll('.finding').length === 2");
        browser.click(".finding .open");
        browser.wait("location.hash.startsWith('#f=')");
        assert_eq!(browser.evaluate("document.activeElement.tagName"), "H1");
        browser.is_usable(&format!("{}: finding", self.name));
        self.screenshot(browser, "finding");
        assert_eq!(browser.evaluate("members.mine.length"), kept);
        browser.evaluate("document.querySelector('#main').scrollTop = 1e9");
        let id = browser.evaluate(&format!("objects.id[{}]", (kept - 1) * 7));
        let last = format!("[data-key='f{id}']");
        browser.wait(&format!("document.querySelector(`{last}`) !== null"));
        let scrolled = browser.evaluate("document.querySelector('#main').scrollTop");
        browser.click(&last);
        browser.wait("document.querySelectorAll('.row.fault').length === 1");
        // The number of its holder, which differs from object to object.
        let holder = ((kept - 1) * 7 % 3) * 2 + 2;
        assert_eq!(
            browser.evaluate("document.querySelector('.row.fault').dataset.handle"),
            holder.to_string()
        );
        assert!(
            browser.text("#handle").starts_with(&format!("handle {holder}, clone of handle 1 at "))
        );
        assert!(browser.text(".row.fault").contains('●'), "a holder is alive");
        browser.is_usable(&format!("{}: object", self.name));
        self.screenshot(browser, "object");
        // The counts rise where the lifeline begins.
        let axes = browser.evaluate(
            "[document.querySelector('#steps').getBoundingClientRect(), document.querySelector('.row svg').getBoundingClientRect()].map((b) => [b.left, b.right])",
        );
        assert_eq!(axes[0], axes[1], "one axis");
        browser.click(".row.fault");
        browser
            .wait("document.querySelector('.row.fault').getAttribute('aria-current') === 'true'");
        // With the lines around it, as where the object was opened.
        assert_eq!(browser.count("#handle .excerpt > span"), 5);
        self.screenshot(browser, "lifeline");
        browser.evaluate("history.back()");
        browser.wait("!location.hash.includes('h=')");

        // Back: the finding as it was left, the focus on what was opened.
        browser.evaluate("history.back()");
        browser.wait("!location.hash.includes('o=')");
        browser.wait(&format!("document.activeElement.matches(`{last}`)"));
        let now = browser.evaluate("document.querySelector('#main').scrollTop");
        assert!(
            (now.as_f64().unwrap() - scrolled.as_f64().unwrap()).abs() < 400.0,
            "{now} {scrolled}"
        );
        browser.evaluate("history.back()");
        browser.wait("document.activeElement.matches('.finding .open')");
    }
}

/// As the page writes it.
fn browser_number(number: u64) -> String {
    let digits = number.to_string();
    let start = digits.len() % 3;
    let groups = (start..digits.len()).step_by(3).map(|at| &digits[at..at + 3]);
    let parts: Vec<&str> =
        Some(&digits[..start]).filter(|part| !part.is_empty()).into_iter().chain(groups).collect();
    parts.join(",")
}

#[test]
fn a_thousand_objects() {
    drive("thousand", 1_000);
}

#[test]
fn two_hundred_thousand_objects() {
    drive("hundreds", 200_000);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a debug build takes a minute to write the page")]
fn a_million_objects() {
    drive("million", 1_000_000);
}

/// What was there until the program ended by itself.
#[test]
fn what_a_shutdown_hides_is_named() {
    let mut text = r#"{"refscope":1,"pid":7}
{"thread":1,"name":"main"}
{"site":1,"file":"src/client.rs","line":3,"column":15}
{"type":1,"name":"app::Client"}
"#
    .to_owned();
    for (client, dropped) in [(1, 1_980_000_000), (2, 1_990_000_000)] {
        text += &format!(
            r#"{{"object":{client},"kind":"Arc","type":1,"size":4,"site":1}}
{{"event":"new","o":{client},"n":1,"h":1,"s":1,"t":1,"ns":1,"at":1}}
{{"event":"drop","o":{client},"n":2,"h":1,"s":0,"t":1,"ns":{dropped}}}
"#
        );
    }
    text += "{\"end\":\"exit\",\"ns\":2000000000}\n";
    let recording = refscope::Recording::read(text.as_bytes()).expect("it is a recording");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gone.html");
    std::fs::write(&path, render::html(&recording.timelines())).unwrap();
    let url = format!("file://{}", path.display());
    let Some(mut browser) = Browser::open(&url) else { return };
    let gone = browser.text("#gone");
    assert_eq!(
        gone,
        "Arc<Client> at src/client.rs:3: 2 at the peak, all dropped in the last 20 ms"
    );
    for is_dark in [false, true] {
        browser.dark(is_dark);
        browser.resize(390, 844);
        browser.is_usable("gone at the end");
    }
    browser.screenshot("gone");
    browser.was_quiet(&url);
}

/// One object with more events than a screen has pixels, and more handles than a browser gives a list pixels for.
#[test]
fn an_object_of_six_hundred_thousand_handles() {
    let url = page("handles", || {
        let one = Rc::new(Session);
        for _ in 0..600_000 {
            drop(one.clone());
        }
        std::mem::forget(one);
    });
    let Some(mut browser) = Browser::open(&url) else { return };
    browser.click(".finding .open");
    browser.wait("document.querySelectorAll('.row').length > 5");
    assert!(browser.count(".row") < 100);
    browser.evaluate("document.querySelector('#main').scrollTop = 1e9");
    browser.wait("document.querySelector('[data-handle=\"1200000\"]') !== null");
    let length =
        browser.evaluate("document.querySelectorAll('#steps path')[1].getAttribute('d').length");
    assert!(length.as_u64().unwrap() < 100_000, "{length}: what falls on one pixel is drawn once");
    browser.screenshot("handles");
    browser.was_quiet(&url);
}
