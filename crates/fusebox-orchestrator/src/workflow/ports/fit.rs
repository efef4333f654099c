//! Whether any value could satisfy two schemas, as far as their plainest keywords say.

use std::collections::BTreeSet;

use serde_json::Value;

/// Something that no value could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Where, as a JSON Pointer.
    pub(super) at: String,
    pub(super) why: String,
}

/// Keywords with which a schema says elsewhere what it takes.
const ELSEWHERE: [&str; 4] = ["$ref", "$dynamicRef", "$recursiveRef", "not"];
/// Keywords that may add properties to those that are listed.
const OPEN: [&str; 9] = [
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "propertyNames",
    "unevaluatedProperties",
];

/// Whether a schema says itself what it takes.
pub(super) fn is_plain(schema: &Value) -> bool {
    schema.is_object()
        && ELSEWHERE
            .iter()
            .all(|keyword| schema.get(keyword).is_none())
}

/// The properties that a schema requires.
pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// The schema of what is at `pointer` in a value of `schema`; `None` where it does not say.
pub(super) fn at<'a>(schema: &'a Value, pointer: &str) -> Option<&'a Value> {
    let mut at = schema;
    for place in pointer.split('/').skip(1) {
        let place = place.replace("~1", "/").replace("~0", "~");
        let property = || at.get("properties").and_then(|all| all.get(&place));
        let item = || {
            place.parse::<usize>().ok()?;
            at.get("items").filter(|items| items.is_object())
        };
        at = is_plain(at).then(|| property().or_else(item))??;
    }
    Some(at)
}

/// Why a value of `given` can never be one of `wanted`.
pub(super) fn misfit(given: &Value, wanted: &Value) -> Option<Misfit> {
    if !is_plain(given) || !is_plain(wanted) {
        return None;
    }
    let (is, must) = (kinds(given), kinds(wanted));
    if let (Some(is), Some(must)) = (&is, &must)
        && !is
            .iter()
            .any(|kind| must.iter().any(|wanted| overlap(kind, wanted)))
    {
        return Some(here(format!(
            "it is {}, and must be {}",
            list(is),
            list(must)
        )));
    }
    if let (Some(is), Some(must)) = (values(given), values(wanted))
        && !is.iter().any(|value| must.contains(value))
    {
        return Some(here(format!(
            "it is {}, and must be {}",
            shown(&is),
            shown(&must)
        )));
    }
    let only = |kind: &str| {
        is.as_ref()
            .is_some_and(|is| is.iter().all(|known| *known == kind))
    };
    if only("object") {
        return misfit_of_objects(given, wanted);
    }
    let items = |schema: &'_ Value| schema.get("items").cloned();
    if let (true, Some(given), Some(wanted)) = (only("array"), items(given), items(wanted)) {
        return misfit(&given, &wanted).map(|inside| under("0", inside));
    }
    None
}

fn misfit_of_objects(given: &Value, wanted: &Value) -> Option<Misfit> {
    let property = |schema: &'_ Value, name: &str| schema.get("properties")?.get(name).cloned();
    let promised: BTreeSet<&str> = required(given).collect();
    let needed: BTreeSet<&str> = required(wanted).collect();
    for name in &needed {
        let known = promised.contains(name) || property(given, name).is_some();
        if !known && lists_all(given) {
            return Some(here(format!(
                "property `{name}` is required, and is not among those given"
            )));
        }
    }
    if wanted.get("additionalProperties") == Some(&Value::Bool(false)) && lists_all(wanted) {
        let more = promised
            .iter()
            .find(|name| property(wanted, name).is_none());
        if let Some(name) = more {
            return Some(here(format!(
                "property `{name}` is given, and no such property is taken"
            )));
        }
    }
    let both = promised.union(&needed).find_map(|name| {
        let inside = misfit(&property(given, name)?, &property(wanted, name)?)?;
        Some(under(name, inside))
    });
    both.or_else(|| {
        // One that neither requires would be wrong wherever it is there.
        let listed = given.get("properties")?.as_object()?;
        listed.iter().find_map(|(name, given)| {
            let inside = misfit(given, &property(wanted, name)?)?;
            Some(under(name, inside))
        })
    })
}

/// Whether a schema names every property there may be: it lists some, and nothing in it opens the list.
fn lists_all(schema: &Value) -> bool {
    let closed = matches!(
        schema.get("additionalProperties"),
        None | Some(Value::Bool(false))
    );
    let listed = schema.get("properties").is_some_and(Value::is_object);
    let shut = schema.get("additionalProperties") == Some(&Value::Bool(false));
    (listed || shut) && closed && OPEN.iter().all(|keyword| schema.get(keyword).is_none())
}

/// The types that a schema allows; `None` where it does not say.
fn kinds(schema: &Value) -> Option<Vec<&str>> {
    if let Some(values) = values(schema) {
        return Some(values.into_iter().map(kind).collect());
    }
    match schema.get("type")? {
        Value::String(kind) => Some(vec![kind]),
        Value::Array(kinds) => kinds.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A number may be whole.
fn overlap(one: &str, other: &str) -> bool {
    let number = |kind: &str| {
        if kind == "integer" {
            "number".to_owned()
        } else {
            kind.to_owned()
        }
    };
    number(one) == number(other)
}

/// The values that a schema allows, where it lists them.
fn values(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(vec![value]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

fn list(kinds: &[&str]) -> String {
    kinds.join(" or ")
}

fn shown(values: &[&Value]) -> String {
    let some: Vec<String> = values
        .iter()
        .take(3)
        .map(|value| value.to_string())
        .collect();
    let more = if values.len() > 3 { " or another" } else { "" };
    format!("{}{more}", some.join(" or "))
}

fn here(why: String) -> Misfit {
    Misfit {
        at: String::new(),
        why,
    }
}

fn under(name: &str, inside: Misfit) -> Misfit {
    let name = name.replace('~', "~0").replace('/', "~1");
    let at = format!("/{name}{}", inside.at);
    let why = if inside.at.is_empty() {
        format!("at `{at}` {}", inside.why)
    } else {
        inside.why.replacen(&*inside.at, &at, 1)
    };
    Misfit { at, why }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(given: &Value, wanted: &Value) -> Option<String> {
        misfit(given, wanted).map(|misfit| misfit.why)
    }

    #[test]
    fn types_that_share_nothing_do_not_fit() {
        let why =
            |given: &str, wanted: &str| why(&json!({ "type": given }), &json!({ "type": wanted }));
        assert_eq!(
            why("string", "integer").as_deref(),
            Some("it is string, and must be integer")
        );
        assert_eq!(why("integer", "number"), None);
        assert_eq!(why("number", "integer"), None, "it may be whole");
        assert_eq!(why("object", "object"), None);
        let either = json!({ "type": ["string", "null"] });
        assert_eq!(
            misfit(&either, &json!({ "type": "string" })),
            None,
            "it may fit"
        );
    }

    #[test]
    fn a_required_property_is_promised_or_listed_or_unknown() {
        let wanted = json!({ "required": ["rows"] });
        let missing = json!({ "type": "object", "properties": { "row": {} } });
        let reason = "property `rows` is required, and is not among those given";
        assert_eq!(why(&missing, &wanted).as_deref(), Some(reason));
        for unknown in [
            json!({}),
            json!({ "type": "object" }),
            json!({ "type": "object", "required": ["rows"], "properties": { "row": {} } }),
            json!({ "type": "object", "properties": { "rows": {} } }),
            json!({ "type": "object", "properties": { "row": {} }, "additionalProperties": true }),
            json!({ "type": "object", "properties": { "row": {} }, "anyOf": [] }),
            json!({ "$ref": "#/x", "type": "object", "properties": { "row": {} } }),
            json!(true),
        ] {
            assert_eq!(misfit(&unknown, &wanted), None, "{unknown}");
        }
    }

    #[test]
    fn what_does_not_fit_deep_inside_is_told_with_its_place() {
        let deep = |kind: &str| {
            json!({ "type": "object", "properties": { "a": { "type": "array", "items": {
            "type": "object", "properties": { "b/c": { "type": kind } } } } } })
        };
        let misfit = misfit(&deep("string"), &deep("integer")).unwrap();
        assert_eq!(misfit.at, "/a/0/b~1c");
        assert_eq!(
            misfit.why,
            "at `/a/0/b~1c` it is string, and must be integer"
        );
        let over = at(
            &json!({ "properties": { "a": { "items": { "const": 1 } } } }),
            "/a/7",
        )
        .cloned();
        assert_eq!(over, Some(json!({ "const": 1 })));
    }

    #[test]
    fn values_of_two_lists_fit_where_one_is_in_both() {
        let list = |values: Value| json!({ "enum": values });
        assert_eq!(
            why(&list(json!(["a", "b"])), &list(json!(["b", "c"]))),
            None
        );
        let reason = why(&json!({ "const": "a" }), &list(json!(["b", "c"])));
        assert_eq!(
            reason.as_deref(),
            Some("it is \"a\", and must be \"b\" or \"c\"")
        );
        assert!(why(&json!({ "const": 1 }), &json!({ "type": "string" })).is_some());
    }

    #[test]
    fn what_takes_no_more_is_given_no_more() {
        let wanted = json!({ "properties": { "a": {} }, "additionalProperties": false });
        let given = json!({ "type": "object", "required": ["a", "b"] });
        let reason = "property `b` is given, and no such property is taken";
        assert_eq!(why(&given, &wanted).as_deref(), Some(reason));
        assert_eq!(
            why(&json!({ "type": "object", "required": ["a"] }), &wanted),
            None
        );
    }
}
