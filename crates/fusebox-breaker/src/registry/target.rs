//! What a breaker stands for.

use std::fmt;
use std::sync::Arc;

/// A key of the [`Registry`](crate::Registry): any part may be left out. Two targets are the same if all parts are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Target {
    parts: [Option<Arc<str>>; Part::ALL.len()],
}

/// A part of a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// On whose behalf.
    Tenant,
    /// Which agent calls.
    Agent,
    /// Whose service is called.
    Provider,
    /// Which model.
    Model,
    /// Which tool.
    Tool,
    /// Where.
    Region,
}

impl Part {
    /// All parts, in the order in which they are written.
    pub const ALL: [Self; 6] = [
        Self::Tenant,
        Self::Agent,
        Self::Provider,
        Self::Model,
        Self::Tool,
        Self::Region,
    ];

    /// The name in labels and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Agent => "agent",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Region => "region",
        }
    }
}

impl Target {
    /// A target without any part: the one of everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a part.
    pub fn with(mut self, part: Part, name: impl Into<Arc<str>>) -> Self {
        self.parts[part as usize] = Some(name.into());
        self
    }

    /// Names the tenant.
    pub fn tenant(self, name: impl Into<Arc<str>>) -> Self {
        self.with(Part::Tenant, name)
    }

    /// Names the agent.
    pub fn agent(self, name: impl Into<Arc<str>>) -> Self {
        self.with(Part::Agent, name)
    }

    /// Names the provider.
    pub fn provider(self, name: impl Into<Arc<str>>) -> Self {
        self.with(Part::Provider, name)
    }

    /// Names the model.
    pub fn model(self, name: impl Into<Arc<str>>) -> Self {
        self.with(Part::Model, name)
    }

    /// Names the tool.
    pub fn tool(self, name: impl Into<Arc<str>>) -> Self {
        self.with(Part::Tool, name)
    }

    /// Names the region.
    pub fn region(self, name: impl Into<Arc<str>>) -> Self {
        self.with(Part::Region, name)
    }

    /// A part, if it is named.
    pub fn part(&self, part: Part) -> Option<&Arc<str>> {
        self.parts[part as usize].as_ref()
    }

    /// A hash that nobody can foresee who does not know the seed: each eight bytes are mixed in by a folded
    /// multiplication.
    ///
    /// Source: the mixing step of Wang Yi's wyhash, which foldhash and others use too.
    pub(crate) fn hash_with(&self, seed: u64) -> u64 {
        let mut state = seed;
        for (index, part) in self.parts.iter().enumerate() {
            let Some(part) = part else {
                continue;
            };
            // The part's number and length keep neighbours apart.
            state = mix(
                state ^ (part.len() as u64) << 8 ^ index as u64,
                0x9E37_79B9_7F4A_7C15,
            );
            let (words, rest) = part.as_bytes().as_chunks::<8>();
            for word in words {
                state = mix(state ^ u64::from_le_bytes(*word), 0xD6E8_FEB8_6659_FD93);
            }
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            state = mix(state ^ u64::from_le_bytes(last), seed | 1);
        }
        mix(state, 0xA076_1D64_78BD_642F)
    }

    /// How many parts are named.
    pub fn depth(&self) -> usize {
        self.parts.iter().flatten().count()
    }

    /// Whether every part that `self` names is the same in `other`.
    pub fn covers(&self, other: &Self) -> bool {
        let pairs = self.parts.iter().zip(&other.parts);
        pairs
            .into_iter()
            .all(|(own, other)| own.is_none() || own == other)
    }

    /// The same target reduced to these parts; none if it does not name all of them.
    pub fn reduced_to(&self, parts: &[Part]) -> Option<Self> {
        parts.iter().try_fold(Self::new(), |reduced, part| {
            Some(reduced.with(*part, Arc::clone(self.part(*part)?)))
        })
    }
}

impl fmt::Display for Target {
    /// `tenant=a/provider=b`; `*` for the target without any part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Part::ALL
            .into_iter()
            .filter_map(|part| Some((part, self.part(part)?)));
        let mut any = false;
        for (part, name) in named {
            let link = if any { "/" } else { "" };
            write!(f, "{link}{}={name}", part.as_str())?;
            any = true;
        }
        if any { Ok(()) } else { f.write_str("*") }
    }
}

fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}
