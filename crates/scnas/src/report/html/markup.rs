//! Pieces of HTML. Text that comes from data goes through [`escape`], here or where it is put in.

pub use crate::space::draw::escape;

/// A number with so many decimals and a true minus; – where it is not known.
pub fn number(value: Option<f64>, decimals: usize) -> String {
    let text = value.map_or_else(|| "–".into(), |value| format!("{value:.decimals$}"));
    text.replace('-', "−")
}

/// A part of a whole, or millimetres, as the table of cases shows them.
pub fn score(value: Option<f64>) -> String {
    number(value, 4)
}

/// A count and its noun, in the plural unless it is one.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A line of the terminal as a sentence: with a capital letter and a full stop.
pub fn sentence(line: &str) -> String {
    let mut letters = line.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    let stop = if line.ends_with('.') { "" } else { "." };
    format!("{}{}{stop}", first.unwrap_or_default(), letters.as_str())
}

/// A table whose first row is its head; the first `left` columns hold text, the others numbers. It
/// can be scrolled where it is too wide, and has a name for those who hear it.
pub fn table(name: &str, rows: &[Vec<String>], left: usize) -> String {
    let Some((head, rows)) = rows.split_first() else { return String::new() };
    let class = |column: usize| if column < left { "" } else { " class=\"n\"" };
    let heads: String = (head.iter().enumerate())
        .map(|(column, text)| format!("<th scope=\"col\"{}>{}</th>", class(column), escape(text)))
        .collect();
    let body: String = rows.iter().map(|row| line(row, &class)).collect();
    scrolled(name, &format!("<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"))
}

/// A row, whose first cell says what it is of.
fn line(row: &[String], class: &dyn Fn(usize) -> &'static str) -> String {
    let cells: String = (row.iter().enumerate())
        .map(|(column, text)| match column {
            0 => format!("<th scope=\"row\">{}</th>", escape(text)),
            _ => format!("<td{}>{}</td>", class(column), escape(text)),
        })
        .collect();
    format!("<tr>{cells}</tr>\n")
}

/// What may be wider than the page.
pub fn scrolled(name: &str, content: &str) -> String {
    let name = escape(name);
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{name}\">{content}</div>\n"
    )
}

/// A part of the page with its heading; nothing where there is nothing in it.
pub fn section(id: &str, title: &str, content: &str) -> String {
    match content.is_empty() {
        true => String::new(),
        false => format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{}</h2>\n{content}\
             </section>\n",
            escape(title)
        ),
    }
}

/// Something to open.
pub fn details(summary: &str, content: &str) -> String {
    format!("<details><summary>{}</summary>\n{content}</details>\n", escape(summary))
}

/// A sentence below a heading.
pub fn note(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

/// JSON that a script of the page reads: no text in it can end the element.
pub fn data(class: &str, json: &str) -> String {
    format!(
        "<script type=\"application/json\" class=\"{class}\">{}</script>\n",
        json.replace('<', "\\u003c")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_data_is_text_wherever_it_stands() {
        let hostile = "</script><img src=x onerror=\"alert(1)\">";
        let rows = [vec![hostile.to_string(), "Dice".into()], vec![hostile.into(), "0.5".into()]];
        let all = [
            table(hostile, &rows, 1),
            section("a", hostile, "x"),
            details(hostile, "x"),
            note(hostile),
        ];
        assert!(all.iter().all(|html| !html.contains("<img")), "{all:?}");
        let json = serde_json::to_string(hostile).unwrap();
        let html = data("d", &json);
        assert_eq!(html.matches("</script>").count(), 1);
        let inner = html.split_once('>').unwrap().1.rsplit_once("</script>").unwrap().0;
        assert_eq!(serde_json::from_str::<String>(inner).unwrap(), hostile);
    }

    #[test]
    fn numbers_have_a_true_minus_and_a_dash_where_there_is_none() {
        assert_eq!(number(Some(-0.125), 2), "−0.12");
        assert_eq!((number(None, 2).as_str(), counted(1, "case").as_str()), ("–", "1 case"));
        assert_eq!(sentence("as it is"), "As it is.");
    }
}
