//! What is printed.

use crate::shape::Shape;
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

    pub(crate) fn add(&mut self, shape: Shape, in_flight: usize, figures: &[Figures]) {
        for figures in figures {
            let steps_per_second = figures.runs_per_second * shape.steps() as f64;
            self.rows.push([
                shape.to_string(),
                in_flight.to_string(),
                figures.name.to_owned(),
                format!("{steps_per_second:.0}"),
                format!("{:.2}", 1e6 / steps_per_second),
                format!("{:.3}", figures.ratio),
            ]);
        }
    }

    pub(crate) fn print(&self) {
        println!("## {}\n", self.title);
        println!("| run | in flight | | steps/s | µs per step | multiple |");
        println!("|---|---:|---|---:|---:|---:|");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!();
    }
}
