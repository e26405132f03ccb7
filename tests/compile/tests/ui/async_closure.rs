//! A box of an async closure as an argument: it is dereferenced, or given away: see `rows_by_the_docs.rs`.

async fn twice(f: impl AsyncFn(u8) -> u8) -> u8 {
    f(f(1).await).await
}

fn main() {
    let f = refscope::Box::new(async |n: u8| n + 1);
    let _ = twice(f);
}
