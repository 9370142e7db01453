use std::error::Error as StdError;
use std::fmt;
use std::io;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

/// A store's own words are cut to this length: it may send a page.
const WORDS_MAX: usize = 300;

/// Why a store did not do what it was asked, in one clause of its own words: no document, no address with a signature in it.
#[derive(Clone, Debug)]
pub struct StoreFailure {
    kind: StoreFailureKind,
    words: String,
    /// The store's word for it.
    code: Option<String>,
    /// Of a server, not of this host's file system.
    remote: bool,
    /// Of whoever was to hand out a key.
    login: bool,
    /// It will be the same in a second.
    lasting: bool,
}

/// What whoever uses the store can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailureKind {
    /// It does not answer, or says that it cannot now.
    Unreachable,
    /// It does not know us, or we may not do this.
    Denied,
    /// There is no such bucket.
    NoBucket,
    /// The bucket is elsewhere: another region, another endpoint.
    Elsewhere,
    /// It does not know what it was asked for.
    Unsupported,
    /// Anything else.
    Other,
}

impl StoreFailure {
    pub(crate) fn new(kind: StoreFailureKind, words: impl Into<String>) -> Self {
        let words = words.into();
        let remote = true;
        Self {
            kind,
            words,
            code: None,
            remote,
            login: false,
            lasting: false,
        }
    }

    /// The same, of somebody who was asked for a key and gave none.
    pub(super) fn of_login(self, who: &str) -> Self {
        let kind = match self.kind {
            StoreFailureKind::Unreachable => StoreFailureKind::Unreachable,
            _ => StoreFailureKind::Denied,
        };
        Self {
            kind,
            words: format!("{who} gives no key: {}", self.words),
            login: true,
            ..self
        }
    }

    /// Whether a server is behind it, not this host's file system.
    pub fn is_remote(&self) -> bool {
        self.remote
    }

    /// Whether there is no answer yet and may be one in a second.
    pub(super) fn may_pass(&self) -> bool {
        self.kind == StoreFailureKind::Unreachable && !self.lasting
    }

    /// Whether it is of a service that hands out keys, not of the store.
    pub fn is_of_login(&self) -> bool {
        self.login
    }

    /// What can be done about it.
    pub fn kind(&self) -> StoreFailureKind {
        self.kind
    }

    /// The store's own word for it, if it has one.
    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Whether the store was not asked at all, or said no: nothing was changed, for sure.
    pub(crate) fn is_certain(&self) -> bool {
        matches!(
            self.kind,
            StoreFailureKind::Denied | StoreFailureKind::NoBucket
        )
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl StdError for StoreFailure {}

impl From<StoreError> for StoreFailure {
    fn from(error: StoreError) -> Self {
        // One of ours, passed on by object_store.
        if let Some(own) = causes(&error).find_map(|cause| cause.downcast_ref::<Self>()) {
            return own.clone();
        }
        if let Some(failure) = of_transport(&error).or_else(|| of_system(&error)) {
            return failure;
        }
        let said = Said::find(&error.to_string());
        let innermost = causes(&error).last().map(ToString::to_string);
        let words = said.words().or(innermost).unwrap_or_default();
        Self {
            code: said.code.clone(),
            ..Self::new(said.kind(&error), one_line(&words))
        }
    }
}

/// Whether it says that there is no such object, in a bucket that there is.
pub(super) fn is_absent(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. })
        && Said::find(&error.to_string()).kind(error) != StoreFailureKind::NoBucket
}

/// An error and what caused it, the last of which has no cause that it names.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// No answer came, or only a part of one.
fn of_transport(error: &StoreError) -> Option<StoreFailure> {
    let http = causes(error).find_map(|cause| cause.downcast_ref::<HttpError>())?;
    let innermost = std::iter::successors(http.source(), |&error| error.source()).last();
    let words = innermost.map_or_else(|| http.to_string(), ToString::to_string);
    let kind = match http.kind() {
        HttpErrorKind::Decode => StoreFailureKind::Other,
        _ => StoreFailureKind::Unreachable,
    };
    Some(StoreFailure {
        lasting: http.kind() == HttpErrorKind::Unknown,
        ..StoreFailure::new(kind, one_line(&words))
    })
}

/// A local directory.
fn of_system(error: &StoreError) -> Option<StoreFailure> {
    let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>())?;
    let kind = match io.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreFailureKind::Denied
        }
        io::ErrorKind::Unsupported => StoreFailureKind::Unsupported,
        _ => StoreFailureKind::Other,
    };
    Some(StoreFailure {
        remote: false,
        ..StoreFailure::new(kind, io.to_string())
    })
}

/// What a store said in its answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    /// It named another place without saying which.
    redirect: bool,
}

impl Said {
    /// Finds it in the text of object_store, which holds the document that the store sent: XML, or Google's JSON.
    fn find(text: &str) -> Self {
        let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
        let status = after("status code: ").and_then(|rest| rest.get(..3)?.parse().ok());
        let element = |name: &str| {
            let rest = after(&format!("<{name}>"))?;
            let (value, _) = rest.split_once(&format!("</{name}>"))?;
            Some(unescaped(value))
        };
        let json = || {
            let (value, _) = after("\"message\":")?
                .split_once("\",")
                .or_else(|| after("\"message\":")?.split_once('}'))?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        // Of one of several objects that were to be deleted.
        let of_one = || {
            let (_, rest) = text.split_once(" failed for key ")?.1.split_once(": ")?;
            let (message, rest) = rest.rsplit_once(" (code: ")?;
            Some((message.to_owned(), rest.split_once(')')?.0.to_owned()))
        };
        let (message_of_one, code_of_one) = of_one().unzip();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let code = some(element("Code").or(code_of_one));
        Self {
            status: status.or_else(|| code.as_ref()?.parse().ok()),
            // Azure's is the status.
            code: code.filter(|code| code.parse::<u16>().is_err()),
            message: some(element("Message").or_else(json).or(message_of_one)),
            redirect: text.contains("redirect without LOCATION"),
        }
    }

    fn kind(&self, error: &StoreError) -> StoreFailureKind {
        match self.code.as_deref() {
            Some("NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted") => {
                return StoreFailureKind::NoBucket;
            }
            Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect") => {
                return StoreFailureKind::Elsewhere;
            }
            // These come with status 400, or with none.
            Some(
                "AccessDenied"
                | "ExpiredToken"
                | "InvalidToken"
                | "InvalidTokenId"
                | "TokenRefreshRequired",
            ) => {
                return StoreFailureKind::Denied;
            }
            Some("NotImplemented") => return StoreFailureKind::Unsupported,
            _ => {}
        }
        match (error, self.status) {
            (StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }, _)
            | (_, Some(401 | 403)) => StoreFailureKind::Denied,
            (StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }, _)
            | (_, Some(405 | 501)) => StoreFailureKind::Unsupported,
            (_, Some(408 | 429 | 500..=599)) => StoreFailureKind::Unreachable,
            (_, Some(301 | 302 | 307 | 308)) => StoreFailureKind::Elsewhere,
            _ if self.redirect => StoreFailureKind::Elsewhere,
            _ => StoreFailureKind::Other,
        }
    }

    fn words(&self) -> Option<String> {
        match (&self.code, &self.message) {
            (None, None) => self.status.map(|status| format!("status {status}")),
            (Some(code), Some(message)) if !same(code, message) => {
                Some(format!("{code}: {message}"))
            }
            (code, message) => message.as_ref().or(code.as_ref()).cloned(),
        }
    }
}

/// `AccessDenied` and `Access Denied.` say it twice.
fn same(code: &str, message: &str) -> bool {
    let letters = |text: &str| -> String {
        let letters = text.chars().filter(char::is_ascii_alphanumeric);
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    letters(code) == letters(message)
}

fn unescaped(xml: &str) -> String {
    let mut text = xml.to_owned();
    for (escape, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escape, plain);
    }
    text
}

/// The first line without the full stop at its end. What follows it in Azure's messages are ids and times.
fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let line: String = line.chars().take(WORDS_MAX).collect();
    line.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: &str, body: &str) -> (StoreFailureKind, String) {
        let text = format!(
            "Error performing PUT http://h/b?sig=secret in 1ms - Server returned non-2xx status code: {status}: {body}"
        );
        let error = StoreError::Generic {
            store: "S3",
            source: text.into(),
        };
        let failure = StoreFailure::from(error);
        (failure.kind(), failure.to_string())
    }

    #[test]
    fn a_document_becomes_one_clause() {
        use StoreFailureKind::{Denied, Elsewhere, NoBucket, Other, Unreachable, Unsupported};
        let ignorant = "<Error><Code>NotImplemented</Code><Message>A header</Message></Error>";
        let s3 = "<?xml version=\"1.0\"?><Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.\
            </Message><AWSAccessKeyId>AKIA</AWSAccessKeyId><RequestId>1</RequestId></Error>";
        let azure = "\u{feff}<?xml?><Error><Code>AuthenticationFailed</Code><Message>Server failed &amp; so on.\n\
            RequestId:1\nTime:2</Message></Error>";
        let google =
            "{\"error\":{\"code\":403,\"message\":\"someone@x has no access\",\"errors\":[]}}";
        let no_bucket =
            "<Error><Code>NoSuchBucket</Code><Message>It does not exist</Message></Error>";
        let expired =
            "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>";
        let moved =
            "<Error><Code>PermanentRedirect</Code><Message>Use another endpoint</Message></Error>";
        let denied = "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";
        for (status, body, kind, words) in [
            (
                "403 Forbidden",
                s3,
                Denied,
                "InvalidAccessKeyId: The key does not exist",
            ),
            (
                "403 Forbidden",
                azure,
                Denied,
                "AuthenticationFailed: Server failed & so on",
            ),
            ("403 Forbidden", google, Denied, "someone@x has no access"),
            ("403 Forbidden", denied, Denied, "Access Denied"),
            (
                "404 Not Found",
                no_bucket,
                NoBucket,
                "NoSuchBucket: It does not exist",
            ),
            (
                "400 Bad Request",
                expired,
                Denied,
                "ExpiredToken: The token has expired",
            ),
            (
                "301 Moved",
                moved,
                Elsewhere,
                "PermanentRedirect: Use another endpoint",
            ),
            ("503 Slow Down", "", Unreachable, "status 503"),
            ("501 Not Implemented", "", Unsupported, "status 501"),
            (
                "400 Bad Request",
                ignorant,
                Unsupported,
                "NotImplemented: A header",
            ),
            ("400 Bad Request", "", Other, "status 400"),
        ] {
            assert_eq!(failure(status, body), (kind, words.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_refusal_to_delete_one_of_many_is_a_refusal() {
        let said = |text: &str| {
            let source = text.into();
            let error = StoreError::Generic {
                store: "S3",
                source,
            };
            let failure = StoreFailure::from(error);
            (failure.kind(), failure.to_string())
        };
        let s3 = "Generic S3 error: DeleteObjects request failed for key r/a: Access Denied. (code: AccessDenied)";
        let azure = "Bulk delete request failed for key r/a: Not authorized: no. (code: 403)";
        let words = |words: &str| (StoreFailureKind::Denied, words.to_owned());
        assert_eq!(said(s3), words("Access Denied"));
        assert_eq!(said(azure), words("Not authorized: no"));
    }

    #[test]
    fn a_page_is_cut() {
        let (_, words) = failure("500 Oops", &format!("<Code>{}</Code>", "x".repeat(10_000)));
        assert_eq!(words.len(), WORDS_MAX);
    }
}
