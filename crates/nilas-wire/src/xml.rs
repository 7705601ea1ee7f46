//! XML: a writer for answers, and a reader for small documents.

use quick_xml::events::Event;

/// Elements that one document may have, and how deep they may be.
const ELEMENTS_MAX: usize = 100_000;
const DEPTH_MAX: usize = 64;

/// A document being written. Names are the caller's own; texts are escaped.
#[derive(Debug, Default)]
pub struct Xml(String);

impl Xml {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&mut self, name: &str) {
        self.open_with(name, &[]);
    }

    pub fn open_with(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (name, value) in attributes {
            self.0.push_str(&format!(" {name}=\""));
            escape(value, &mut self.0);
            self.0.push('"');
        }
        self.0.push('>');
    }

    pub fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.open(name);
        inside(self);
        self.close(name);
    }

    pub fn text(&mut self, name: &str, text: &str) {
        self.open(name);
        escape(text, &mut self.0);
        self.close(name);
    }

    /// Nothing for None.
    pub fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// `<NAME><member>…</member>…</NAME>`
    pub fn members<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut inside: impl FnMut(&mut Self, T),
    ) {
        self.open(name);
        for item in items {
            self.open("member");
            inside(self, item);
            self.close("member");
        }
        self.close(name);
    }

    /// What `other` holds, behind what is here.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Characters that XML 1.0 cannot hold become `?`, or a hostile header would make the answer unreadable.
pub(crate) fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
}

/// An element that was read; attributes and prefixes of names are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Self>,
}

impl Element {
    /// The document's root; None if it is not well-formed, or too large.
    pub fn parse(document: &str) -> Option<Self> {
        let mut reader = quick_xml::Reader::from_str(document);
        let mut open = vec![Self::default()];
        let mut elements = 0;
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => {
                    elements += 1;
                    if elements > ELEMENTS_MAX || open.len() > DEPTH_MAX {
                        return None;
                    }
                    open.push(Self::named(start.local_name().as_ref())?);
                }
                Event::Empty(start) => {
                    elements += 1;
                    let element = Self::named(start.local_name().as_ref())?;
                    open.last_mut()?.children.push(element);
                }
                Event::End(_) => {
                    let element = open.pop()?;
                    open.last_mut()?.children.push(element);
                }
                Event::Text(text) => open.last_mut()?.text.push_str(&text.decode().ok()?),
                Event::CData(text) => open.last_mut()?.text.push_str(&text.decode().ok()?),
                Event::GeneralRef(reference) => {
                    let resolved = match reference.resolve_char_ref().ok()? {
                        Some(c) => c,
                        None => entity(&reference.decode().ok()?)?,
                    };
                    open.last_mut()?.text.push(resolved);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let [root] = open.as_mut_slice() else { return None };
        (root.children.len() == 1).then(|| root.children.remove(0))
    }

    fn named(name: &[u8]) -> Option<Self> {
        Some(Self { name: String::from_utf8(name.to_vec()).ok()?, ..Self::default() })
    }

    /// The element below this one, by the names on the way to it.
    pub fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| {
            element.children.iter().find(|child| child.name == *name)
        })
    }

    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.find(path).map(|element| element.text.as_str())
    }
}

fn entity(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut xml = Xml::new();
        xml.element("A", |xml| {
            xml.text("B", "1 < 2 & \"3\" \r\n é");
            xml.optional("C", None);
            xml.members("D", ["x", "y"], |xml, item| xml.text("E", item));
        });
        let root = Element::parse(&xml.into_string()).unwrap();
        assert_eq!(root.text_at(&["B"]), Some("1 < 2 & \"3\" \r\n é"));
        assert_eq!(root.find(&["C"]), None);
        assert_eq!(root.find(&["D"]).unwrap().children[1].text_at(&["E"]), Some("y"));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in ["", "<a>", "<a></b>", "<a/><b/>", "<a>&nothing;</a>"] {
            assert_eq!(Element::parse(text), None, "{text}");
        }
        assert_eq!(Element::parse(&"<a>".repeat(1_000)), None);
    }
}
