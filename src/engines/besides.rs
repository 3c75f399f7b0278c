//! What a request says besides to whoever does as they are told; the small model that ships knows what it was trained with, and is not
//! told.

use std::sync::Arc;

use milo_models::language_model::{ChatRequest, Role};

use super::brief::Brief;

/// What whoever does as they are told is told besides.
#[derive(Clone, Debug, Default)]
pub struct Besides {
    /// What they read in place of the instructions.
    pub instructions: Option<Arc<str>>,
    /// That the reply is to be short.
    pub brief: Option<Brief>,
}

impl Besides {
    /// These instructions.
    pub fn instructed(instructions: Option<String>) -> Self {
        Self { instructions: instructions.map(Into::into), brief: None }
    }

    /// The same request, told so.
    pub(super) fn of(&self, mut request: ChatRequest) -> ChatRequest {
        if let (Some(instructions), Some(first)) = (&self.instructions, request.messages.first_mut())
            && first.role == Role::System
        {
            first.content = instructions.to_string();
        }
        match self.brief {
            Some(brief) => brief.of(request),
            None => request,
        }
    }
}
