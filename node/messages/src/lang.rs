//! The languages, and how a person's choice of one is read.

use std::{fmt, str::FromStr};

/// Language ranges of one `Accept-Language` that are read; the rest is ignored.
const RANGES_MAX: usize = 32;

/// A language that every text exists in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lang {
    #[default]
    En,
    Vi,
}

/// A name that is not the name of a known language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a language of Kho; use en or vi")]
pub struct UnknownLanguage(String);

impl Lang {
    pub const ALL: [Self; 2] = [Self::En, Self::Vi];

    /// The language's tag (BCP 47), as it stands in `--lang` and `Accept-Language`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Vi => "vi",
        }
    }

    /// The language of a tag or of a POSIX locale's name: `vi`, `vi-VN`, `vi_VN.UTF-8`. `C` and `POSIX` are English.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_', '.', '@']).next().unwrap_or_default();
        if primary == "C" || primary == "POSIX" {
            return Some(Self::En);
        }
        Self::ALL.into_iter().find(|lang| lang.tag().eq_ignore_ascii_case(primary))
    }

    /// The language of a process: the first of `LC_ALL`, `LC_MESSAGES` and `LANG` that is set and not empty decides.
    /// English when none is set or the language is not known.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let chosen = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        chosen.and_then(|value| Self::of_tag(&value)).unwrap_or_default()
    }

    /// The language that the value of an `Accept-Language` header asks for (RFC 9110, section 12.5.4): of the known languages the one with
    /// the highest quality, at equal quality the one named first. English when none is wanted.
    pub fn of_accept_language(header: &str) -> Self {
        let mut best = (0, Self::default());
        for range in header.split(',').take(RANGES_MAX) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))).map_or(1000, thousandths);
            let lang = if tag == "*" { Some(Self::default()) } else { Self::of_tag(tag) };
            if let Some(lang) = lang
                && quality > best.0
            {
                best = (quality, lang);
            }
        }
        best.1
    }
}

/// A quality between 0 and 1 in thousandths; what can't be read is 0.
fn thousandths(quality: &str) -> u32 {
    match quality.trim().parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u32,
        _ => 0,
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

impl FromStr for Lang {
    type Err = UnknownLanguage;

    fn from_str(tag: &str) -> Result<Self, Self::Err> {
        Self::of_tag(tag).ok_or_else(|| UnknownLanguage(tag.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_named_by_tag_or_by_locale() {
        for (tag, lang) in [("vi", Some(Lang::Vi)), ("vi-VN", Some(Lang::Vi)), ("vi_VN.UTF-8", Some(Lang::Vi)), ("EN-gb", Some(Lang::En))] {
            assert_eq!(Lang::of_tag(tag), lang, "{tag}");
        }
        for tag in ["", "vietnamese", "fr", "*"] {
            assert_eq!(Lang::of_tag(tag), None, "{tag}");
        }
        assert_eq!("fr".parse::<Lang>().expect_err("not known").to_string(), "`fr` is not a language of Kho; use en or vi");
    }

    #[test]
    fn the_first_variable_that_is_set_decides_the_language_of_a_process() {
        let of = |set: &[(&str, &str)]| Lang::of_environment(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
        assert_eq!(of(&[]), Lang::En);
        assert_eq!(of(&[("LANG", "vi_VN.UTF-8")]), Lang::Vi);
        assert_eq!(of(&[("LANG", "vi_VN.UTF-8"), ("LC_ALL", "C.UTF-8")]), Lang::En);
        assert_eq!(of(&[("LC_ALL", ""), ("LC_MESSAGES", "vi"), ("LANG", "en_US")]), Lang::Vi);
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Lang::En);
    }

    #[test]
    fn the_highest_quality_decides_the_language_of_a_request() {
        for (header, lang) in [
            ("", Lang::En),
            ("vi", Lang::Vi),
            ("vi-VN,vi;q=0.9,en;q=0.8", Lang::Vi),
            ("en;q=0.8, vi;q=0.9", Lang::Vi),
            ("fr, en;q=0.4, vi;q=0.5", Lang::Vi),
            ("vi;q=0", Lang::En),
            ("vi;q=0.5, *;q=0.9", Lang::En),
            ("vi;q=many, en;q=0.1", Lang::En),
            (";;,,q=1,;q=", Lang::En),
        ] {
            assert_eq!(Lang::of_accept_language(header), lang, "{header}");
        }
    }
}
