//! One operation: what is said of it in the table, and what its handler's types say. Not how it is written down.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type, where it is needed.
pub(crate) fn schema_of<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// A JSON object. An empty body is `{}`.
    Json(SchemaOf),
    /// Bytes, as they are.
    Raw,
}

/// What comes when it went well.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// JSON in the envelope.
    Data(SchemaOf),
    /// JSON in the envelope of bridges.
    Reply(SchemaOf),
    /// JSON without one.
    Bare(SchemaOf),
    /// A stream of events; the names of those that it can have.
    Events(&'static str),
    /// Anything of this type.
    Bytes(&'static str),
    /// To another address: 303.
    Elsewhere,
    /// A connection of another kind: 101.
    Socket,
}

/// Who judges a failure, and so what it looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// In the envelope.
    Envelope,
    /// In that or in the one of bridges, by who judges it.
    Bridge,
    /// As the programs of providers know it.
    Provider,
    /// A page for people.
    Page,
    /// None: the handler cannot fail.
    None,
}

/// A header that is read.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) words: &'static str,
}

/// An operation.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) summary: &'static str,
    pub(crate) note: Option<&'static str>,
    pub(crate) query: Option<SchemaOf>,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    /// Of what went well.
    pub(crate) status: &'static str,
    pub(crate) failure: Failure,
    /// The role that its handler asks for.
    pub(crate) role: Option<&'static str>,
    /// What its handler gives is not to be seen from its type: somebody must have said it.
    pub(crate) is_unseen: bool,
}

impl Operation {
    pub(crate) fn new() -> Self {
        Self {
            summary: "",
            note: None,
            query: None,
            headers: Vec::new(),
            body: None,
            answers: Vec::new(),
            status: "200",
            failure: Failure::None,
            role: None,
            is_unseen: false,
        }
    }
}

/// What is said of an operation in the table. A sentence is enough where the types of its handler say the rest.
pub(crate) struct Says(Operation);

/// Says what it does, in a few words for a list.
pub(crate) fn says(summary: &'static str) -> Says {
    Says(Operation { summary, ..Operation::new() })
}

impl From<&'static str> for Says {
    fn from(summary: &'static str) -> Self {
        says(summary)
    }
}

impl Says {
    /// More that is to be known.
    pub(crate) fn note(mut self, words: &'static str) -> Self {
        self.0.note = Some(words);
        self
    }

    /// What it reads of the query, where its handler does that by hand.
    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.0.query = Some(schema_of::<T>());
        self
    }

    /// The body, where its handler reads it by hand.
    pub(crate) fn takes<T: JsonSchema>(mut self) -> Self {
        self.0.body = Some(Body::Json(schema_of::<T>()));
        self
    }

    /// A body of any bytes.
    pub(crate) fn takes_bytes(mut self) -> Self {
        self.0.body = Some(Body::Raw);
        self
    }

    /// A header that it reads.
    pub(crate) fn header(
        mut self,
        name: &'static str,
        required: bool,
        words: &'static str,
    ) -> Self {
        self.0.headers.push(Header { name, required, words });
        self
    }

    /// Data in the envelope, where its handler writes that by hand.
    pub(crate) fn data<T: JsonSchema>(self) -> Self {
        self.gives(Answer::Data(schema_of::<T>()))
    }

    /// Data as a bridge tells it.
    pub(crate) fn reply<T: JsonSchema>(self) -> Self {
        self.gives(Answer::Reply(schema_of::<T>()))
    }

    /// JSON without the envelope.
    pub(crate) fn bare<T: JsonSchema>(self) -> Self {
        self.gives(Answer::Bare(schema_of::<T>()))
    }

    /// A stream of these events.
    pub(crate) fn events(self, names: &'static str) -> Self {
        self.gives(Answer::Events(names))
    }

    /// Bytes of this type.
    pub(crate) fn bytes(self, media: &'static str) -> Self {
        self.gives(Answer::Bytes(media))
    }

    /// What it gives, where that is none of the above.
    pub(crate) fn gives(mut self, answer: Answer) -> Self {
        self.0.answers.push(answer);
        self
    }

    /// The status of what went well, where it is not 200.
    pub(crate) fn status(mut self, status: &'static str) -> Self {
        self.0.status = status;
        self
    }

    /// How it fails, where its handler's type does not say it.
    pub(crate) fn fails(mut self, failure: Failure) -> Self {
        self.0.failure = failure;
        self
    }

    /// With what its handler's types say: what was said by hand is more exact.
    pub(crate) fn over(self, typed: Operation) -> Operation {
        let said = self.0;
        let is_unseen = typed.is_unseen && said.answers.is_empty();
        let answers = if said.answers.is_empty() { typed.answers } else { said.answers };
        let failure = if said.failure == Failure::None { typed.failure } else { said.failure };
        Operation {
            query: said.query.or(typed.query),
            body: said.body.or(typed.body),
            role: typed.role,
            answers,
            failure,
            is_unseen,
            ..said
        }
    }

    /// As it is: no handler of this server answers it.
    pub(crate) fn alone(self) -> Operation {
        self.0
    }
}
