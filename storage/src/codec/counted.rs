//! Decoding that counts what the value takes in memory. A few bytes can stand for a long list of small things: an empty list in a list
//! takes one byte on the wire and 24 in memory.
//!
//! Counted is the length of every text and byte string, and the size of every element of a list and every entry of a map. What a list
//! reserves beyond its elements is not: it is at most as much again.

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

/// How much more a value may take.
#[derive(Debug)]
pub(super) struct Room(Cell<usize>);

impl Room {
    pub fn of(memory_bytes_max: usize) -> Self {
        Self(Cell::new(memory_bytes_max))
    }

    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        match self.0.get().checked_sub(bytes) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => Err(E::custom("it would take more memory than any such value may")),
        }
    }
}

/// Asks for a `T` that takes no more than the room.
pub(super) struct Within<'r, T> {
    room: &'r Room,
    value: PhantomData<fn() -> T>,
}

impl<'r, T> Within<'r, T> {
    pub fn new(room: &'r Room) -> Self {
        Self { room, value: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Within<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(Counted { inner: deserializer, room: self.room })
    }
}

/// Any part of a decoder, with the room beside it.
struct Counted<'r, I> {
    inner: I,
    room: &'r Room,
}

/// What is told of a value, with the room beside it; `lists` where the elements are not part of something that was counted before.
struct CountedVisitor<'r, V> {
    inner: V,
    room: &'r Room,
    lists: bool,
}

/// The elements of a list, map, tuple or struct.
struct CountedElements<'r, A> {
    inner: A,
    room: &'r Room,
    lists: bool,
}

impl<'r, I> Counted<'r, I> {
    fn visitor<V>(room: &'r Room, inner: V, lists: bool) -> CountedVisitor<'r, V> {
        CountedVisitor { inner, room, lists }
    }
}

/// Methods that pass a visitor on, with what else they are given.
macro_rules! passed_on {
    ($($method:ident($($name:ident: $kind:ty),*) counts $lists:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($name,)* Self::visitor(self.room, visitor, $lists))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Counted<'_, D> {
    type Error = D::Error;

    passed_on! {
        deserialize_any() counts true;
        deserialize_bool() counts false;
        deserialize_i8() counts false;
        deserialize_i16() counts false;
        deserialize_i32() counts false;
        deserialize_i64() counts false;
        deserialize_i128() counts false;
        deserialize_u8() counts false;
        deserialize_u16() counts false;
        deserialize_u32() counts false;
        deserialize_u64() counts false;
        deserialize_u128() counts false;
        deserialize_f32() counts false;
        deserialize_f64() counts false;
        deserialize_char() counts false;
        deserialize_str() counts false;
        deserialize_string() counts false;
        deserialize_bytes() counts false;
        deserialize_byte_buf() counts false;
        deserialize_option() counts false;
        deserialize_unit() counts false;
        deserialize_unit_struct(name: &'static str) counts false;
        deserialize_newtype_struct(name: &'static str) counts false;
        deserialize_seq() counts true;
        deserialize_tuple(len: usize) counts false;
        deserialize_tuple_struct(name: &'static str, len: usize) counts false;
        deserialize_map() counts true;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) counts false;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) counts false;
        deserialize_identifier() counts false;
        deserialize_ignored_any() counts false;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Methods that are told a value of fixed size.
macro_rules! told {
    ($($method:ident: $kind:ty;)*) => {
        $(fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

/// Methods that are told a text or bytes.
macro_rules! told_bytes {
    ($($method:ident: $kind:ty;)*) => {
        $(fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.room.take(value.len())?;
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for CountedVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    told! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i16: i16;
        visit_i32: i32;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_f64: f64;
        visit_char: char;
    }

    told_bytes! {
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
        visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Counted { inner: deserializer, room: self.room })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_newtype_struct(Counted { inner: deserializer, room: self.room })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(CountedElements { inner: elements, room: self.room, lists: self.lists })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(CountedElements { inner: entries, room: self.room, lists: self.lists })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Counted { inner: variant, room: self.room })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for CountedElements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let element = self.inner.next_element_seed(Counted { inner: seed, room: self.room })?;
        // There is one call more than there are elements.
        if self.lists && element.is_some() {
            self.room.take(size_of::<T::Value>())?;
        }
        Ok(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for CountedElements<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let key = self.inner.next_key_seed(Counted { inner: seed, room: self.room })?;
        if self.lists && key.is_some() {
            self.room.take(size_of::<K::Value>())?;
        }
        Ok(key)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        if self.lists {
            self.room.take(size_of::<T::Value>())?;
        }
        self.inner.next_value_seed(Counted { inner: seed, room: self.room })
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Counted<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Counted { inner: deserializer, room: self.room })
    }
}

impl<'de, 'r, A: EnumAccess<'de>> EnumAccess<'de> for Counted<'r, A> {
    type Error = A::Error;
    type Variant = Counted<'r, A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(Counted { inner: seed, room: self.room })?;
        Ok((value, Counted { inner: variant, room: self.room }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Counted<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(Counted { inner: seed, room: self.room })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Self::visitor(self.room, visitor, false))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Self::visitor(self.room, visitor, false))
    }
}
