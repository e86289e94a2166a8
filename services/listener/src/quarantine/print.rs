//! Records in quarantine, for people and for programs.

use std::io::{self, Write};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use fluxo_core::Timestamp;
use fluxo_store::{
    quarantine::{Entry, Place},
    record::RawRecord,
};
use serde_json::{Value, json};

use crate::settings::Output;

/// How a record is named.
pub(super) fn place(place: &Place) -> String {
    format!("{}/{}/{}", place.topic_id, place.position.partition, place.position.offset)
}

pub(super) fn entries(entries: &[Entry], output: Output, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => entries.iter().try_for_each(|entry| writeln!(out, "{}", json_of(entry))),
        Output::Table => {
            let heading = ["SINCE", "RECORD", "TOPIC", "REASON", "ID", "FORWARDED"].map(str::to_owned);
            let rows = entries.iter().map(|entry| {
                [
                    entry.recorded_at.to_string(),
                    place(&entry.place),
                    entry.topic.clone(),
                    entry.reason.to_string(),
                    or_dash(entry.id),
                    or_dash(entry.forwarded_at),
                ]
            });
            table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), out)
        }
    }
}

pub(super) fn record(entry: &Entry, raw: &RawRecord, output: Output, out: &mut impl Write) -> io::Result<()> {
    if output == Output::Json {
        let mut whole = json_of(entry);
        whole["timestamp_ms"] = raw.timestamp_ms.into();
        whole["key"] = json_bytes(raw.key.as_deref());
        whole["value"] = json_bytes(raw.value.as_deref());
        let pairs =
            raw.headers.iter().map(|header| json!([header.name, json_bytes(header.value.as_deref())]));
        whole["headers"] = pairs.collect();
        return writeln!(out, "{whole}");
    }
    let timestamp = raw.timestamp_ms.and_then(|ms| Timestamp::from_micros(ms.checked_mul(1_000)?));
    let mut rows = vec![
        ["record".into(), place(&entry.place)],
        ["topic".into(), entry.topic.clone()],
        ["reason".into(), format!("{}: {}", entry.reason, entry.reason.explanation())],
        ["id".into(), or_dash(entry.id)],
        ["since".into(), entry.recorded_at.to_string()],
        ["forwarded".into(), or_dash(entry.forwarded_at)],
        ["timestamp".into(), or_dash(timestamp)],
        ["key".into(), text(raw.key.as_deref())],
        ["value".into(), text(raw.value.as_deref())],
    ];
    let headers = raw.headers.iter();
    rows.extend(headers.map(|header| {
        ["header".into(), format!("{}: {}", printable(&header.name), text(header.value.as_deref()))]
    }));
    table(&rows, out)
}

fn json_of(entry: &Entry) -> Value {
    json!({
        "topic": entry.topic,
        "topic_id": entry.place.topic_id.as_str(),
        "partition": entry.place.position.partition,
        "offset": entry.place.position.offset,
        "reason": entry.reason.as_str(),
        "id": entry.id.map(|id| id.to_string()),
        "recorded_at": entry.recorded_at.to_string(),
        "forwarded_at": entry.forwarded_at.map(|at| at.to_string()),
    })
}

/// Bytes as text where they are some, so that nobody has to guess which it is.
fn json_bytes(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!({"text": text}),
        Some((bytes, Err(_))) => json!({"base64": BASE64_STANDARD.encode(bytes)}),
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => "null".into(),
        Some((_, Ok(text))) => format!("\"{}\"", printable(text)),
        Some((bytes, Err(_))) => format!("base64:{}", BASE64_STANDARD.encode(bytes)),
    }
}

/// Without what a terminal would obey: the bytes are a stranger's.
fn printable(text: &str) -> String {
    let escaped =
        |char: char| if char.is_control() { char.escape_default().collect() } else { char.to_string() };
    text.chars().map(escaped).collect()
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// Columns as wide as their widest cell; the last one is as wide as it is.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_base64_and_nothing_reaches_the_terminal() {
        assert_eq!(text(None), "null");
        assert_eq!(text(Some(b"")), "\"\"");
        assert_eq!(text(Some(b"a\x1b[2Jb\n")), "\"a\\u{1b}[2Jb\\n\"");
        assert_eq!(text(Some(b"\xff\x00")), "base64:/wA=");
        assert_eq!(json_bytes(Some(b"\xff\x00")), json!({"base64": "/wA="}));
        assert_eq!(json_bytes(Some("olá".as_bytes())), json!({"text": "olá"}));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut out = Vec::new();
        table(&[["A", "LONG"].map(str::to_owned), ["wide", "x"].map(str::to_owned)], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A     LONG\nwide  x\n");
    }
}
