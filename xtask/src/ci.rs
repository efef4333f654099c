//! `ci`: everything that has to pass before a merge, cheapest first.

use anyhow::Result;

use crate::stages::Stages;
use crate::{
    dashboards, deny, docs, examples, features, fmt, instructions, layers, lint, model, only_flag,
    test, tidy,
};

type Step = (
    &'static str,
    &'static [&'static str],
    fn(&[String]) -> Result<()>,
);

const STEPS: [Step; 12] = [
    ("fmt", &["--check"], fmt::main),
    ("layers", &[], layers::main),
    ("tidy", &[], tidy::main),
    ("deny", &[], deny::main),
    ("lint", &[], lint::main),
    ("docs", &[], docs::main),
    ("features", &[], features::main),
    ("dashboards", &["--check"], dashboards::main),
    ("examples", &[], examples::main),
    ("instructions", &[], instructions::where_possible),
    ("model", &[], model::main),
    ("test", &[], test::main),
];

pub(crate) fn main(args: &[String]) -> Result<()> {
    let keep_going = only_flag(args, "--keep-going")?;
    let mut stages = Stages::default();
    let mut ran = 0;
    for (name, args, run) in STEPS {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        ran += 1;
        if !stages.step(name, || run(&args)) && !keep_going {
            break;
        }
    }
    for (name, ..) in &STEPS[ran..] {
        println!("not run: {name}");
    }
    stages.finish_steps(STEPS.len() - ran)
}
