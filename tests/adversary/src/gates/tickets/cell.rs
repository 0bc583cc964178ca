//! The matrix of attempts' tickets, and the required answer of each cell.

/// One combination.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub at: At,
    pub generation: Generation,
    pub fate: Fate,
    pub kind: Kind,
    pub form: Form,
    pub is_expired: bool,
}

/// To whose endpoint the ticket is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Itself,
    AnotherAccount,
    AnotherTenant,
}

/// The record's fate before the ticket is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    Live,
    Replaced,
    Destroyed,
    RegisteredAnew,
}

/// The attempt's state before the ticket is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Succeeded,
    Failed,
    Abandoned,
}

/// The message with the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    RightFinish,
    FalseFinish,
    /// The right KE3 of another attempt.
    SwappedFinish,
    Abandon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    BitFlipped,
    CutOff,
}

/// The required answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Granted,
    WrongPassword,
    TicketExpired,
    Destroyed,
}

/// Every combination that is expired, or every other one.
pub fn all(is_expired: bool) -> impl Iterator<Item = Cell> {
    let ats = [At::Itself, At::AnotherAccount, At::AnotherTenant];
    let generations = [
        Generation::Live,
        Generation::Replaced,
        Generation::Destroyed,
        Generation::RegisteredAnew,
    ];
    let fates = [Fate::Open, Fate::Succeeded, Fate::Failed, Fate::Abandoned];
    let kinds = [
        Kind::RightFinish,
        Kind::FalseFinish,
        Kind::SwappedFinish,
        Kind::Abandon,
    ];
    let forms = [Form::Whole, Form::BitFlipped, Form::CutOff];
    let mut cells = Vec::new();
    for at in ats {
        for generation in generations {
            for fate in fates {
                for kind in kinds {
                    cells.extend(forms.map(|form| Cell {
                        at,
                        generation,
                        fate,
                        kind,
                        form,
                        is_expired,
                    }));
                }
            }
        }
    }
    cells.into_iter()
}

impl Cell {
    /// PROTOCOL.md section 7 step 4.
    pub fn expected(&self) -> Expected {
        if self.form != Form::Whole || self.at != At::Itself {
            return Expected::TicketExpired;
        }
        match self.generation {
            Generation::Replaced | Generation::RegisteredAnew => Expected::TicketExpired,
            Generation::Destroyed if self.kind == Kind::Abandon => Expected::Granted,
            Generation::Destroyed => Expected::Destroyed,
            Generation::Live => self.expected_of_a_live_one(),
        }
    }

    fn expected_of_a_live_one(&self) -> Expected {
        let is_good = matches!(self.fate, Fate::Open | Fate::Succeeded) && !self.is_expired;
        match self.kind {
            Kind::Abandon => Expected::Granted,
            Kind::RightFinish if is_good => Expected::Granted,
            Kind::FalseFinish | Kind::SwappedFinish if is_good => Expected::WrongPassword,
            _ => Expected::TicketExpired,
        }
    }

    /// The attempt's state after the ticket was presented.
    pub fn fate_afterwards(&self) -> Fate {
        let is_taken = matches!(self.expected(), Expected::Granted | Expected::WrongPassword);
        match self.kind {
            _ if self.fate != Fate::Open || !is_taken => self.fate,
            Kind::RightFinish => Fate::Succeeded,
            Kind::Abandon => Fate::Abandoned,
            Kind::FalseFinish | Kind::SwappedFinish => Fate::Failed,
        }
    }
}
