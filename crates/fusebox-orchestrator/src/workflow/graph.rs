//! What a workflow consists of, and what follows from that.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::Serialize;

use super::Step;
use crate::digest::sha256_hex;

/// The parts of a [`Workflow`](super::Workflow), which shares them with its clones: each run has one.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) objective_ms: u64,
    /// In an order in which each step comes after all it takes from.
    pub(super) steps: Vec<Step>,
    pub(super) outputs: Vec<String>,
    #[serde(skip)]
    known: Known,
}

/// What is found out once, because every run asks.
#[derive(Debug, Default)]
struct Known {
    places: HashMap<String, usize>,
    canonical: OnceLock<String>,
    fingerprint: OnceLock<String>,
}

/// It follows from the rest.
impl PartialEq for Known {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Known {}

impl Graph {
    pub(super) fn new(
        name: String,
        objective_ms: u64,
        steps: Vec<Step>,
        outputs: Vec<String>,
    ) -> Self {
        let names = steps.iter().map(|step| step.name.clone());
        let known = Known {
            places: names.zip(0..).collect(),
            ..Known::default()
        };
        Self {
            name,
            objective_ms,
            steps,
            outputs,
            known,
        }
    }

    pub(super) fn step(&self, name: &str) -> Option<&Step> {
        Some(&self.steps[*self.known.places.get(name)?])
    }

    /// The definition as it is written and hashed.
    pub(super) fn canonical(&self) -> &str {
        self.known.canonical.get_or_init(|| {
            serde_json::to_string(self).expect("a workflow holds only strings and numbers")
        })
    }

    pub(super) fn fingerprint(&self) -> &str {
        let digest = || sha256_hex(self.canonical().as_bytes());
        self.known.fingerprint.get_or_init(digest)
    }
}
