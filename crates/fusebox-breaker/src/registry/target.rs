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
