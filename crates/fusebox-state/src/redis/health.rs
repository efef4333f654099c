//! What of a server's settings an operator should look at.

use std::collections::HashMap;

/// One sentence for each risk that INFO shows; without INFO, what is not known.
pub(crate) fn warnings(info: Option<&str>, replicas: u8) -> Vec<String> {
    risks(&fields(info.unwrap_or_default()), replicas)
}

/// `name:value` lines of INFO.
fn fields(info: &str) -> HashMap<&str, &str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .collect()
}

fn risks(info: &HashMap<&str, &str>, replicas: u8) -> Vec<String> {
    let mut warnings = Vec::new();
    match info.get("maxmemory_policy") {
        Some(&"noeviction") => {}
        Some(policy) => warnings.push(format!(
            "maxmemory-policy is {policy}: a full server throws state away; set noeviction"
        )),
        None => warnings.push(
            "maxmemory-policy is unknown, the server does not tell; make sure it is noeviction"
                .to_owned(),
        ),
    }
    match info.get("aof_enabled") {
        Some(&"1") => {}
        Some(_) => warnings.push(
            "appendonly is no: a server that ends loses what its last snapshot lacks; set yes"
                .to_owned(),
        ),
        None => warnings.push(
            "appendonly is unknown, the server does not tell; make sure it is yes".to_owned(),
        ),
    }
    if info.get("role") == Some(&"slave") {
        warnings.push("the server is a replica and takes no writes; connect to its primary".into());
    }
    let has_replicas = info
        .get("connected_slaves")
        .is_some_and(|count| *count != "0");
    if has_replicas && !info.contains_key("min_slaves_good_slaves") {
        warnings.push(
            "min-replicas-to-write is 0: a primary cut off from its replicas goes on \
             acknowledging writes that a fail-over drops; set at least 1"
                .to_owned(),
        );
    }
    let connected = info
        .get("connected_slaves")
        .and_then(|count| count.parse().ok());
    if let Some(connected) = connected.filter(|count: &u64| *count < u64::from(replicas)) {
        warnings.push(format!(
            "{replicas} replicas are to have each write and {connected} are there: writes take \
             until their deadline; add replicas or ask for fewer"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_kept_server_gives_no_warning() {
        let info = "# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n\
                    connected_slaves:0\r\n";
        assert_eq!(risks(&fields(info), 0), Vec::<String>::new());
    }

    #[test]
    fn every_risk_has_its_warning() {
        let info = "maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\nrole:slave\r\n\
                    connected_slaves:2\r\n";
        let found = risks(&fields(info), 0);
        for word in ["allkeys-lru", "appendonly", "replica and", "min-replicas"] {
            assert!(
                found.iter().any(|warning| warning.contains(word)),
                "{word}: {found:?}"
            );
        }
        assert!(
            risks(&HashMap::new(), 0)
                .iter()
                .all(|warning| warning.contains("unknown"))
        );
    }

    #[test]
    fn replicas_that_are_missing_are_counted() {
        let info = "maxmemory_policy:noeviction\r\naof_enabled:1\r\nconnected_slaves:1\r\n\
                    min_slaves_good_slaves:1\r\n";
        assert_eq!(risks(&fields(info), 1), Vec::<String>::new());
        assert!(risks(&fields(info), 2)[0].contains("2 replicas"));
    }
}
