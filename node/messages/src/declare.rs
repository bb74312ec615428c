//! [`reportable!`](crate::reportable): an enum of kinds, each with its code and its text, written down once.

/// Declares an enum of kinds that implements [`Reportable`](crate::Reportable).
///
/// A kind is written `Name { field: Type, … } = "code"`. Where several kinds share a code, `as "text"` names the text of each. The fields
/// are the arguments of the text, so every type must be an `Into<Argument>`. `TEXTS` lists the texts with their arguments, for
/// [`coverage::declared_gaps`](crate::coverage::declared_gaps).
///
/// ```
/// kho_messages::reportable! {
///     /// Why a visitor is not let in.
///     pub enum Refused in "refused" {
///         Closed { opens_at: String } = "closed",
///         ClosedToday {} = "closed" as "closed_today",
///     }
/// }
/// use kho_messages::Reportable as _;
/// assert_eq!(Refused::ClosedToday {}.code(), "closed");
/// assert_eq!(Refused::ClosedToday {}.message_id(), "refused-closed_today");
/// assert_eq!(Refused::TEXTS, [("closed", &["opens_at"][..]), ("closed_today", &[])]);
/// ```
#[macro_export]
macro_rules! reportable {
    (@text $code:literal) => { $code };
    (@text $code:literal $text:literal) => { $text };
    (
        $(#[$of_enum:meta])*
        $visible:vis enum $name:ident in $subject:literal {
            $($(#[$of_kind:meta])* $kind:ident { $($field:ident: $type:ty),* $(,)? } = $code:literal $(as $text:literal)?),+ $(,)?
        }
    ) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $visible enum $name {
            $($(#[$of_kind])* $kind { $($field: $type),* }),+
        }

        impl $name {
            /// The subject of every text.
            pub const SUBJECT: &'static str = $subject;
            /// The code of every kind, in the order of `TEXTS`.
            pub const CODES: &'static [&'static str] = &[$($code),+];
            /// The name of every text, and its arguments.
            pub const TEXTS: &'static [(&'static str, &'static [&'static str])] =
                &[$(($crate::reportable!(@text $code $($text)?), &[$(stringify!($field)),*])),+];
        }

        impl $crate::Reportable for $name {
            fn subject(&self) -> &'static str {
                Self::SUBJECT
            }

            fn code(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $code),+
                }
            }

            fn text_name(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $crate::reportable!(@text $code $($text)?)),+
                }
            }

            fn arguments(&self) -> $crate::Arguments {
                match self {
                    $(Self::$kind { $($field),* } => vec![$((stringify!($field), $crate::Argument::from($field.clone()))),*]),+
                }
            }
        }
    };
}
