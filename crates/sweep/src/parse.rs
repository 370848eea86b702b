//! Parses settings that are given as flags.

use serde_json::{Value, json};

/// Parses `name=value,value,...`, a setting and its choices. A width for each layer is written `200x100`.
///
/// ```
/// let (name, values) = charloom_sweep::parse_choices("hidden=100,200x200")?;
/// assert_eq!((name.as_str(), values.to_string().as_str()), ("hidden", "[100,[200,200]]"));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// There is no name or no value.
pub fn parse_choices(text: &str) -> Result<(String, Value), String> {
    let (name, values) = named(text, "embed=2,6,10")?;
    Ok((name, Value::Array(values.split(',').map(value).collect())))
}

/// Parses `name=low..high`, a setting and its range; with `:log` its logarithm is drawn. Whole ends make a
/// range of whole numbers, unless the setting is a real number.
///
/// ```
/// let (name, range) = charloom_sweep::parse_range("lr=1e-3..1.0:log")?;
/// assert_eq!((name.as_str(), range["log"].as_bool()), ("lr", Some(true)));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// There is no name or no range.
pub fn parse_range(text: &str) -> Result<(String, Value), String> {
    let example = "lr=0.001..1.0:log";
    let (name, range) = named(text, example)?;
    let (range, log) = match range.strip_suffix(":log") {
        Some(range) => (range, true),
        None => (range, false),
    };
    let (low, high) =
        range.split_once("..").ok_or_else(|| format!("{text:?} is not of the form {example}"))?;
    let [low, high] = [low, high].map(value);
    if !(low.is_number() && high.is_number()) {
        return Err(format!("{text:?}: the ends must be numbers, as in {example}"));
    }
    Ok((name, json!({"low": low, "high": high, "log": log})))
}

fn named<'a>(text: &'a str, example: &str) -> Result<(String, &'a str), String> {
    match text.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => Ok((name.trim().to_owned(), rest)),
        _ => Err(format!("{text:?} is not of the form {example}")),
    }
}

/// Parses a number, true or false, widths as in 200x100, or else a word.
fn value(text: &str) -> Value {
    let text = text.trim();
    let widths: Option<Vec<u64>> = text.split('x').map(|width| width.parse().ok()).collect();
    match (text.parse::<i64>(), text.parse::<f64>(), text.parse::<bool>(), widths) {
        (Ok(whole), ..) => json!(whole),
        (_, Ok(real), ..) if real.is_finite() => json!(real),
        (_, _, Ok(truth), _) => json!(truth),
        (.., Some(widths)) => json!(widths),
        _ => json!(text),
    }
}
