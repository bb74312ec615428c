//! The address of a node's HTTPS interface.

use std::{fmt, str::FromStr};

use reqwest::Url;

/// `https://host:port` of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUrl(Url);

impl NodeUrl {
    /// The address of a resource. Segments are escaped, so a key may hold any character.
    pub fn resource(&self, segments: &[String], query: &[(&'static str, String)]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

impl FromStr for NodeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let url = Url::parse(&whole).map_err(|error| format!("{error}; give https://HOST:PORT"))?;
        let plain = matches!(url.path(), "" | "/") && url.query().is_none() && url.username().is_empty() && url.password().is_none();
        if url.scheme() != "https" || url.host_str().is_none() || !plain {
            return Err("a node is named by https://HOST:PORT and nothing else".into());
        }
        Ok(Self(url))
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_host_and_port_over_https_only() {
        assert_eq!("10.0.0.5:7443".parse::<NodeUrl>().map(|url| url.to_string()), Ok("https://10.0.0.5:7443".into()));
        assert_eq!("https://[::1]:7443/".parse::<NodeUrl>().map(|url| url.to_string()), Ok("https://[::1]:7443".into()));
        for text in ["http://a:1", "https://a:1/v1", "https://a:1?x=1", "https://me@a:1", "", "https://"] {
            assert!(text.parse::<NodeUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_with_slashes_stays_one_segment() {
        let node: NodeUrl = "https://a:1".parse().expect("well formed");
        let url = node.resource(&["v1".into(), "rows".into(), "person".into(), "a/b?c".into()], &[("read", "local".into())]);
        assert_eq!(url.as_str(), "https://a:1/v1/rows/person/a%2Fb%3Fc?read=local");
    }
}
