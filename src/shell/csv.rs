//! Comma-separated values as spreadsheets and scripts write them (RFC 4180): quotes where a field needs them, one header line.

/// A text is no table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadCsv {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// One record, with the line it begins on.
pub type Row = (usize, Vec<String>);

/// Adds a record to `out`.
pub fn push<'a>(out: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    for (i, field) in fields.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if field.contains([',', '"', '\r', '\n']) || field.starts_with(['#', ' ']) || field.ends_with(' ') {
            out.push('"');
            out.push_str(&field.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(field);
        }
    }
    out.push('\n');
}

/// The records of a text; blank lines, and lines from `#` on, are passed over.
pub fn read(text: &str) -> Result<Vec<Row>, BadCsv> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut rows, mut line) = (Vec::new(), 1);
    let mut rest = text;
    while !rest.is_empty() {
        let first = rest.split('\n').next().unwrap_or("");
        if first.trim().is_empty() || first.starts_with('#') {
            rest = rest.get(first.len() + 1..).unwrap_or("");
            line += 1;
            continue;
        }
        let began = line;
        let (row, left) = record(rest, &mut line).map_err(|why| BadCsv { line: began, why })?;
        rows.push((began, row));
        rest = left;
    }
    Ok(rows)
}

/// One record off the front of `text`; `line` goes on with the line ends in it.
fn record<'t>(text: &'t str, line: &mut usize) -> Result<(Vec<String>, &'t str), &'static str> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let field;
        (field, rest) = if let Some(quoted) = rest.strip_prefix('"') { in_quotes(quoted, line)? } else { bare(rest) };
        fields.push(field);
        if let Some(more) = rest.strip_prefix(',') {
            rest = more;
            continue;
        }
        let left = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).or_else(|| rest.is_empty().then_some(rest));
        *line += 1;
        return left.map(|left| (fields, left)).ok_or("something stands behind a closing quote");
    }
}

fn bare(text: &str) -> (String, &str) {
    let end = text.find([',', '\n']).unwrap_or(text.len());
    let (field, rest) = text.split_at(end);
    match field.strip_suffix('\r') {
        Some(field) if !rest.starts_with(',') => (field.to_owned(), rest),
        _ => (field.to_owned(), rest),
    }
}

fn in_quotes<'t>(text: &'t str, line: &mut usize) -> Result<(String, &'t str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a quote is not closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => {
                *line += field.matches('\n').count();
                return Ok((field, rest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        read(text).expect("a table").into_iter().map(|(_, row)| row).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for row in [vec!["a", "", "c"], vec!["a,b", "say \"x\"", "two\nlines", "cr\r\nlf"], vec!["#a", " b ", "żółw"], vec!["", ""]] {
            let mut text = String::new();
            push(&mut text, row.iter().copied());
            assert_eq!(fields(&text), [row], "{text}");
        }
    }

    #[test]
    fn tables_of_other_programs_are_read_and_faults_named_by_line() {
        assert_eq!(fields("\u{feff}a,b\r\n1,\"2\"\r\n\r\n# no\r\n3,4"), [["a", "b"], ["1", "2"], ["3", "4"]]);
        assert_eq!(read("a\n\"1\n2\"\nb\n").expect("a table").iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(read("a\n\"b"), Err(BadCsv { line: 2, why: "a quote is not closed" }));
        assert_eq!(read("a\n\"b\"c\n"), Err(BadCsv { line: 2, why: "something stands behind a closing quote" }));
        assert_eq!(fields(""), Vec::<Vec<String>>::new());
    }
}
