//! The proxies before all that the desk depends on, and what they are told to do.

use std::time::Duration;

use fusebox_fault_proxy::{At, Fault, Harm, Proxy};

use crate::Failure;

/// A proxy before each dependency.
#[derive(Debug)]
pub struct Lines {
    /// Before the model of first choice.
    pub model: Proxy,
    /// Before the one that stands in for it.
    pub standby: Proxy,
    /// Before the tool server.
    pub tools: Proxy,
    /// Before the order service.
    pub orders: Proxy,
}

impl Lines {
    /// Starts a proxy before each: the model is asked for twice, under two addresses.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(model: &str, tools: &str, orders: &str) -> Result<Self, Failure> {
        Ok(Self {
            model: Proxy::start(model).await?,
            standby: Proxy::start(model).await?,
            tools: Proxy::start(tools).await?,
            orders: Proxy::start(orders).await?,
        })
    }

    /// The proxies with their names.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &Proxy); 4] {
        [
            ("model", &self.model),
            ("standby", &self.standby),
            ("tools", &self.tools),
            ("orders", &self.orders),
        ]
    }

    /// Does what an entry such as `model=429:2` says: `WHERE=FAULT[:SECONDS][xTIMES]`.
    ///
    /// # Errors
    /// If it cannot be read; the message says what can.
    pub fn inject(&self, entry: &str) -> Result<(), Failure> {
        let usage = "say WHERE=FAULT[xTIMES], for instance model=429:2 or tools=503x3";
        let (place, fault) = entry.split_once('=').ok_or(usage)?;
        let (fault, times) = match fault.rsplit_once('x') {
            Some((fault, times)) if times.chars().all(|c| c.is_ascii_digit()) => {
                (fault, Some(times.parse()?))
            }
            _ => (fault, None),
        };
        let all = self.all();
        let proxy = all.iter().find(|(name, _)| *name == place);
        let (_, proxy) = proxy.ok_or("WHERE is one of model, standby, tools, orders")?;
        // Only the models' answers are streams of many events.
        let fault = match place {
            "model" | "standby" => parse_fault(fault, At::Event(2))?,
            _ => parse_fault(fault, At::Byte(8))?,
        };
        match times {
            Some(times) => proxy.inject_times(fault, times),
            None => proxy.inject(fault),
        }
        Ok(())
    }
}

/// A fault by its name; what strikes within an answer does so at `middle`.
///
/// # Errors
/// If there is none of this name; the message lists them.
pub fn parse_fault(text: &str, middle: At) -> Result<Fault, Failure> {
    let within = |harm| Fault::Break { at: middle, harm };
    let (name, number) = match text.split_once(':') {
        Some((name, number)) => (name, Some(number.parse::<u64>()?)),
        None => (text, None),
    };
    Ok(match name {
        "429" => Fault::rate_limit(number.unwrap_or(1)),
        "500" => Fault::status(500),
        "503" => Fault::status(503),
        "529" => Fault::status(529),
        "hang-up" => Fault::HangUp,
        "silence" => Fault::Silence,
        "stall-first" => Fault::after_events(0, Harm::Stall),
        "stall" => within(Harm::Stall),
        "reset" => within(Harm::Reset),
        "cut" => within(Harm::Cut),
        "truncate" => within(Harm::End),
        "drip" => Fault::Drip(Duration::from_millis(number.unwrap_or(200))),
        _ => {
            return Err(
                "FAULT is one of 429[:SECONDS], 500, 503, 529, hang-up, silence, stall-first, \
                 stall, reset, cut, truncate, drip[:MILLISECONDS]"
                    .into(),
            );
        }
    })
}
