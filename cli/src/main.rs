//! The command `refscope`: reads recordings, and says who keeps what alive.
//!
//! `cargo install refscope-cli`, then `refscope leaks run.refscope`.

mod apart;
mod arguments;
mod diff;
mod export;
mod fix;
mod graph;
mod input;
mod leaks;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod run;
mod top;

use anstream::{AutoStream, ColorChoice};
use arguments::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use leaks::Look;
use output::Output;
use refscope::__private::escape;
use run::{LeaksAs, Run};
use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Cli { command, source, color } = Cli::parse();
    color.0.write_global();
    match run(command, source.as_deref()) {
        Ok(code) => code,
        // Whoever reads the output may go away meanwhile, as `head` does.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("refscope: {}", escape(&chain(&*error)));
            ExitCode::from(2)
        }
    }
}

type Failed = Box<dyn Error>;

/// An error with what caused it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes =
        std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let mut errors =
        std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    errors.any(|error| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn run(command: Command, source: Option<&Path>) -> Result<ExitCode, Failed> {
    let color = AutoStream::choice(&io::stdout()) != ColorChoice::Never;
    let mut run = Run { out: Output { to: io::stdout().lock(), files: 1 }, source, color };
    match command {
        Command::Leaks { files, filter, allow, baseline, at, by, json, annotations } => {
            let look = Look { filter: &filter, allow: &allow, baseline: baseline.as_deref() };
            let how = match (json.json, annotations) {
                (true, _) => LeaksAs::Json,
                (_, true) => LeaksAs::Annotations,
                _ => LeaksAs::Text,
            };
            return Ok(verdict(run.leaks(&files, &look, at.as_deref(), by, how)?));
        }
        Command::Timeline { files, filter, by, limit, events, json } => {
            run.timeline(&files, &filter, by, (limit, events.events), json.json)?;
        }
        Command::Top { files, filter, by, limit, json } => {
            run.top(&files, &filter, by, limit, json.json)?;
        }
        Command::Diff { a, b, filter, by, json } => run.diff(a, b, &filter, by, json.json)?,
        Command::Tree { files, object, events, json } => {
            run.tree(&files, object.object, events.events, json.json)?;
        }
        Command::Balance { files, object, tree, json } => {
            run.balance(&files, object.object, tree, json.json)?;
        }
        Command::Flame { files, of, json } => run.flame(&files, of.as_deref(), json.json)?,
        Command::Pack { files, output } => run.pack(&files, output.as_deref())?,
        Command::Export { files, filter, format, output } => {
            run.export(&files, &filter, format, output)?;
        }
        Command::Graph { files, object, format } => run.graph(files, object, format)?,
        Command::Fix(fix) => return Ok(verdict(fix.run(&mut run.out.to)?)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "refscope", &mut script);
            run.out.to.write_all(&script)?;
        }
        Command::Man { subcommand } => run.out.to.write_all(&man(subcommand.as_deref())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(passes: bool) -> ExitCode {
    if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The page of the command, or of a subcommand.
fn man(subcommand: Option<&str>) -> Result<Vec<u8>, Failed> {
    let mut command = Cli::command();
    command.build();
    let command = match subcommand {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            found.ok_or_else(|| format!("there is no subcommand `{name}`"))?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
