use std::fmt::Write as _;

use serde_json::Value;

/// A value as a document of YAML, which `kubectl` reads back as exactly that value.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::from("---\n");
    write_block(value, 0, &mut out);
    out
}

/// Something that stands on lines of its own, so far to the right.
fn write_block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                pad(indent, out);
                out.push_str(&text(key));
                out.push(':');
                write_after(value, indent, out);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                pad(indent, out);
                out.push('-');
                write_after(value, indent, out);
            }
        }
        value => {
            pad(indent, out);
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

/// Something after a key or a dash.
fn write_after(value: &Value, indent: usize, out: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        write_block(value, indent + 2, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => self::text(text),
        // Numbers, true, false and null are the same in JSON, and so are empty maps and lists.
        value => value.to_string(),
    }
}

/// A text, in quotes unless everybody reads it as a text without.
fn text(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./-".contains(&b);
    let reserved = [
        "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf",
    ];
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let lower = text.to_ascii_lowercase();
    if starts && text.bytes().all(plain) && !reserved.contains(&lower.as_str()) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // What ends a line or is no character of YAML.
            c if c.is_control() || is_no_yaml(c) => {
                write!(quoted, "\\u{:04x}", u32::from(c)).expect("text takes text");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_no_yaml(c: char) -> bool {
    ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'].contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_written_in_blocks_and_quoted_where_it_must_be() {
        let value = json!({
            "kind": "Secret",
            "data": {"a.b": "YQ==", "true": "no", "1": "x: y", "empty": ""},
            "list": [1, {"k": "v", "z": null}, [], [["deep"]]],
            "none": {},
            "note": "two\nlines \u{1b} \u{2028} \"\\ ü 🔑",
        });
        let expected = r#"---
data:
  "1": "x: y"
  a.b: "YQ=="
  empty: ""
  "true": "no"
kind: Secret
list:
  - 1
  -
    k: v
    z: null
  - []
  -
    -
      - deep
none: {}
note: "two\u000alines \u001b \u2028 \"\\ ü 🔑"
"#;
        assert_eq!(document(&value), expected);
    }
}
