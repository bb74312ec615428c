//! A commune's people on their way to rows: code lists, drafts and residents.

use crate::ethnicity::Ethnicity;

/// A code list whose entries are written as these words.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($entry:ident => $code:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum $name { $($entry),+ }

        impl $name {
            pub(super) const fn code(self) -> &'static str {
                match self { $(Self::$entry => $code),+ }
            }
        }
    };
}

codes! { Sex { Male => "male", Female => "female" } }

impl Sex {
    /// As in a PIN: 0 for males, 1 for females.
    pub(super) const fn digit(self) -> u8 {
        self as u8
    }
}

codes! {
    /// To the head of the household.
    Relation {
        Head => "head", Spouse => "spouse", Child => "child", AdoptedOrInLaw => "adopted_or_in_law",
        Parent => "parent", Grandchild => "grandchild", Other => "other",
    }
}

codes! {
    Marital {
        Single => "single", Married => "married", Separated => "separated", Divorced => "divorced",
        Widowed => "widowed",
    }
}

codes! {
    /// Highest level completed, in rising order.
    Education {
        None => "none", Primary => "primary", LowerSecondary => "lower_secondary",
        UpperSecondary => "upper_secondary", Vocational => "vocational", College => "college",
        University => "university", Postgraduate => "postgraduate",
    }
}

codes! { ResidenceStatus { Permanent => "permanent", Temporary => "temporary", Absent => "absent" } }

codes! { HouseholdKind { Family => "family", Collective => "collective" } }

/// Days before the described day; 0 is that day itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DaysBack(pub(super) u16);

/// How much of a birth date is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DatePrecision {
    Day,
    Month,
    Year,
}

/// A person before belonging anywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    pub(super) sex: Sex,
    pub(super) age: u8,
}

/// Place of a draft in its commune.
pub(super) type DraftNo = u32;

/// A draft's place in a household.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) draft: DraftNo,
    pub(super) relation: Relation,
    pub(super) marital: Marital,
    /// Members of one lineage share surname and ethnicity; 0 is the head's.
    pub(super) lineage: u8,
    /// Place in the household of the mother and of the spouse, if they live in it.
    pub(super) mother: Option<u8>,
    pub(super) spouse: Option<u8>,
}

/// A household's people, in the order of their sequence numbers; the head comes first.
#[derive(Debug)]
pub(super) struct HouseholdDraft {
    pub(super) kind: HouseholdKind,
    pub(super) members: Vec<Member>,
}

/// A person with everything that rows and events need, except names and numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resident {
    /// Place of the household in its commune, from 0.
    pub(super) household: u32,
    /// Place in the household, from 1.
    pub(super) seq: u8,
    pub(super) sex: Sex,
    pub(super) age: u8,
    pub(super) born: DaysBack,
    pub(super) born_known: DatePrecision,
    pub(super) relation: Relation,
    pub(super) marital: Marital,
    pub(super) education: Education,
    pub(super) residence: ResidenceStatus,
    pub(super) ethnicity: Ethnicity,
    pub(super) lineage: u8,
    /// Places among the commune's residents.
    pub(super) mother: Option<u32>,
    pub(super) spouse: Option<u32>,
}
