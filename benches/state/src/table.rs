//! What is printed.

use std::time::Duration;

use crate::turn::Figures;

pub(crate) struct Table {
    title: String,
    rows: Vec<[String; 6]>,
}

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, writers: usize, figures: &[Figures]) {
        for figures in figures {
            self.rows.push([
                writers.to_string(),
                figures.name.to_owned(),
                format!("{:.0}", figures.rate),
                format!("{:.2}", figures.ratio),
                micros(figures.p50),
                micros(figures.p99),
            ]);
        }
    }

    pub(crate) fn print(&self) {
        println!("## {}\n", self.title);
        println!("| writers | | commits/s | of the floor | p50 µs | p99 µs |");
        println!("|---:|---|---:|---:|---:|---:|");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!();
    }
}

fn micros(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}
