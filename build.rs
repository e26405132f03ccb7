//! Probes, by compiling, what this compiler lets this crate implement. Nothing fails where a probe does:
//! the crate is then built as on plain stable.
//!
//! Most of the features are unstable; a nightly toolchain has them, and a stable one for crates that
//! `RUSTC_BOOTSTRAP` names. That is why the probe is compiled under the name of this crate.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

/// A cfg, and what must compile for it to be set.
const PROBES: [(&str, &str); 7] = [
    // Stable since Rust 1.92. What std's pointers have not, ours have not.
    (
        "refscope_zeroed",
        "pub fn f() -> std::boxed::Box<std::mem::MaybeUninit<u8>> { std::boxed::Box::new_zeroed() }",
    ),
    (
        "refscope_coerce",
        "#![feature(coerce_unsized, unsize, pin_coerce_unsized_trait, legacy_receiver_trait)]
        use std::{marker::Unsize, ops::{CoerceUnsized, Deref, LegacyReceiver}, pin::PinCoerceUnsized};
        pub struct Ticket(u64);
        impl Drop for Ticket { fn drop(&mut self) {} }
        pub struct P<T: ?Sized>(Ticket, std::rc::Rc<T>);
        impl<T: ?Sized> Deref for P<T> { type Target = T; fn deref(&self) -> &T { &self.1 } }
        impl<T: ?Sized + Unsize<U>, U: ?Sized> CoerceUnsized<P<U>> for P<T> {}
        unsafe impl<T: ?Sized> PinCoerceUnsized for P<T> {}
        impl<T: ?Sized> LegacyReceiver for P<T> {}
        pub fn f(p: P<u8>) -> P<dyn Send> { p }
        pub trait Tr { fn m(self: P<Self>); }",
    ),
    // A pointer of one word. No address of a user's has the highest bit on x86-64, which other architectures let a program
    // use as it likes; and what is in the word's place is what std's pointer has there.
    (
        "refscope_thin",
        "#![feature(coerce_unsized, unsize, pin_coerce_unsized_trait, legacy_receiver_trait)]
        #![feature(dispatch_from_dyn, dropck_eyepatch)]
        #[cfg(not(all(target_arch = \"x86_64\", target_pointer_width = \"64\")))]
        compile_error!(\"an address may have any bit\");
        use std::{marker::Unsize, mem::transmute, ops::{CoerceUnsized, Deref, DispatchFromDyn, LegacyReceiver}};
        use std::{pin::{Pin, PinCoerceUnsized}, ptr::NonNull, rc, sync};
        pub struct P<T: ?Sized>(rc::Rc<T>);
        unsafe impl<#[may_dangle] T: ?Sized> Drop for P<T> { fn drop(&mut self) {} }
        impl<T: ?Sized> Deref for P<T> { type Target = T; fn deref(&self) -> &T { &self.0 } }
        impl<T: ?Sized + Unsize<U>, U: ?Sized> CoerceUnsized<P<U>> for P<T> {}
        impl<T: ?Sized + Unsize<U>, U: ?Sized> DispatchFromDyn<P<U>> for P<T> {}
        unsafe impl<T: ?Sized> PinCoerceUnsized for P<T> {}
        impl<T: ?Sized> LegacyReceiver for P<T> {}
        pub trait Tr { fn m(self: P<Self>); fn n(self: Pin<P<Self>>); }
        pub fn f(p: P<dyn Tr>) { p.m(); }
        const _: () = assert!(size_of::<rc::Rc<u8>>() == 8 && size_of::<sync::Arc<u8>>() == 8);
        const _: () = assert!(size_of::<NonNull<str>>() == 16 && size_of::<rc::Rc<str>>() == 16);
        const fn check(words: [usize; 2]) { assert!(words[0] == usize::MAX && words[1] == 3); }
        const _: () = check(unsafe { transmute::<rc::Weak<[u8]>, _>(rc::Weak::<[u8; 3]>::new()) });
        const _: () = check(unsafe { transmute::<sync::Weak<[u8]>, _>(sync::Weak::<[u8; 3]>::new()) });",
    ),
    (
        "refscope_fn",
        "#![feature(fn_traits, unboxed_closures, tuple_trait)]
        pub struct P<T: ?Sized>(std::boxed::Box<T>);
        impl<A: std::marker::Tuple, F: FnOnce<A> + ?Sized> FnOnce<A> for P<F> {
            type Output = F::Output;
            extern \"rust-call\" fn call_once(self, args: A) -> F::Output {
                <std::boxed::Box<F> as FnOnce<A>>::call_once(self.0, args)
            }
        }
        pub fn f(p: P<dyn FnOnce(u8) -> u8>) -> u8 { p(1) }",
    ),
    (
        "refscope_async_fn",
        "#![feature(async_fn_traits, fn_traits, unboxed_closures, tuple_trait)]
        pub struct P<T: ?Sized>(std::boxed::Box<T>);
        impl<A: std::marker::Tuple, F: std::ops::AsyncFnOnce<A> + ?Sized> std::ops::AsyncFnOnce<A> for P<F> {
            type CallOnceFuture = F::CallOnceFuture;
            type Output = F::Output;
            extern \"rust-call\" fn async_call_once(self, args: A) -> F::CallOnceFuture {
                <std::boxed::Box<F> as std::ops::AsyncFnOnce<A>>::async_call_once(self.0, args)
            }
        }",
    ),
    (
        "refscope_negative",
        "#![feature(negative_impls, with_negative_coherence)]
        pub struct P<T: ?Sized>(std::boxed::Box<T>);
        impl<I: Iterator + ?Sized> Iterator for P<I> {
            type Item = I::Item;
            fn next(&mut self) -> Option<I::Item> { self.0.next() }
        }
        impl<I> !Iterator for P<[I]> {}
        impl<I> !Iterator for &P<[I]> {}
        impl<I> !Iterator for &mut P<[I]> {}
        impl<I> IntoIterator for P<[I]> {
            type Item = I;
            type IntoIter = std::vec::IntoIter<I>;
            fn into_iter(self) -> Self::IntoIter { self.0.into_iter() }
        }
        impl<'a, I> IntoIterator for &'a mut P<[I]> {
            type Item = &'a mut I;
            type IntoIter = std::slice::IterMut<'a, I>;
            fn into_iter(self) -> Self::IntoIter { self.0.iter_mut() }
        }",
    ),
    (
        "refscope_fundamental",
        "#![feature(fundamental, negative_impls, with_negative_coherence)]
        #[fundamental] pub struct P<T: ?Sized>(std::boxed::Box<T>);
        impl<T: ?Sized> !Copy for P<T> {}
        impl<T: ?Sized> std::fmt::Pointer for P<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { self.0.fmt(f) }
        }",
    ),
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTC_BOOTSTRAP");
    println!("cargo:rustc-check-cfg=cfg(refscope_wide)");
    println!("cargo:rustc-check-cfg=cfg(refscope_search)");
    println!("cargo:rustc-check-cfg=cfg(refscope_leak_sanitizer)");
    if is_searched() {
        println!("cargo:rustc-cfg=refscope_search");
    }
    for (cfg, _) in PROBES {
        println!("cargo:rustc-check-cfg=cfg({cfg})");
    }
    // Within a build of the compiler itself nothing is as it looks: no probes there.
    if env::var_os("RUSTC_STAGE").is_some() || env::var_os("CARGO_FEATURE_TRACE").is_none() {
        return;
    }
    for (cfg, source) in PROBES {
        // `--cfg refscope_wide` has two words where one would do.
        let wanted = cfg != "refscope_thin" || env::var_os("CARGO_CFG_REFSCOPE_WIDE").is_none();
        if wanted && compiles(cfg, source) {
            println!("cargo:rustc-cfg={cfg}");
            if cfg == "refscope_thin" && has_leak_sanitizer() {
                println!("cargo:rustc-cfg=refscope_leak_sanitizer");
            }
        }
    }
}

/// Whether what is built is linked with LeakSanitizer, which is a part of AddressSanitizer as well.
fn has_leak_sanitizer() -> bool {
    let sanitizers = env::var("CARGO_CFG_SANITIZE").unwrap_or_default();
    sanitizers.split(',').any(|sanitizer| matches!(sanitizer, "leak" | "address"))
}

/// Whether the target's memory can be searched for handles.
fn is_searched() -> bool {
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    env::var_os("CARGO_FEATURE_TRACE").is_some()
        && target("OS") == "linux"
        && target("POINTER_WIDTH") == "64"
        && matches!(&*target("ARCH"), "x86_64" | "aarch64")
}

/// Whether the crate's compiler, called as Cargo calls it, accepts `source`.
fn compiles(name: &str, source: &str) -> bool {
    let Some((rustc, out)) = env::var_os("RUSTC").zip(env::var_os("OUT_DIR")) else { return false };
    let dir = Path::new(&out).join(name);
    let file = dir.join("probe.rs");
    if fs::create_dir_all(&dir).is_err() || fs::write(&file, source).is_err() {
        return false;
    }
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    // RUSTC_WRAPPER wraps RUSTC_WORKSPACE_WRAPPER, which wraps rustc.
    let mut words: Vec<_> =
        [set("RUSTC_WRAPPER"), set("RUSTC_WORKSPACE_WRAPPER")].into_iter().flatten().collect();
    words.push(rustc);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command.args(["--crate-name", "refscope", "--crate-type", "lib", "--edition", "2024"]);
    command.args(["--cap-lints", "allow", "--emit", "metadata", "--out-dir"]).arg(&dir).arg(&file);
    if let Some(target) = env::var_os("TARGET") {
        command.arg("--target").arg(target);
    }
    if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        command.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    }
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
