//! Parses text into the instructions of a stack machine: an operator-precedence parser of bounded depth.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{ExpressionError, Function, Instruction, Operator};

/// The maximum nesting of parentheses, signs and powers; formulas written by hand stay far below.
const DEEPEST: usize = 200;

const FUNCTIONS: [(&str, Function); 7] = [
    ("tanh", Function::Tanh),
    ("exp", Function::Exp),
    ("ln", Function::Ln),
    ("log", Function::Ln),
    ("relu", Function::Relu),
    ("sigmoid", Function::Sigmoid),
    ("sqrt", Function::Sqrt),
];

/// Precedences, lowest first. A sign has a lower one than a power, as in Python: -x^2 is -(x^2).
const SUM: u8 = 1;
const PRODUCT: u8 = 2;
const SIGN: u8 = 3;
const POWER: u8 = 4;

type Instructions = Vec<(Instruction, Range<usize>)>;

#[derive(Clone, Copy, PartialEq)]
enum Token {
    Number(f64),
    Name,
    Symbol(&'static str),
    End,
}

struct Parser<'s> {
    source: &'s str,
    /// The next token and its span.
    token: Token,
    span: Range<usize>,
    depth: usize,
    /// The names used or assigned so far.
    names: BTreeSet<&'s str>,
    instructions: Instructions,
}

pub(super) fn parse(source: &str) -> Result<Instructions, ExpressionError> {
    let mut parser = Parser {
        source,
        token: Token::End,
        span: 0..0,
        depth: 0,
        names: BTreeSet::new(),
        instructions: Vec::new(),
    };
    parser.advance()?;
    loop {
        parser.statement()?;
        if parser.token == Token::Symbol(";") {
            parser.advance()?;
            if parser.token != Token::End {
                parser.emit(Instruction::Drop, parser.span.clone());
                continue;
            }
        }
        return match parser.token {
            Token::End => Ok(parser.instructions),
            _ => Err(parser.unexpected("an operator or the end")),
        };
    }
}

impl Parser<'_> {
    /// [name =] formula
    fn statement(&mut self) -> Result<(), ExpressionError> {
        let name = self.span.clone();
        let rest = self.source[name.end..].trim_start();
        if self.token != Token::Name || !rest.starts_with('=') {
            return self.formula(SUM);
        }
        if !self.names.insert(&self.source[name.clone()]) {
            let help = format!("`{}` already has a value; take another name", &self.source[name.clone()]);
            return Err(self.error(help, name));
        }
        self.advance()?;
        self.advance()?;
        let first = self.instructions.len();
        self.formula(SUM)?;
        let text = &self.source[name.clone()];
        let itself = |(instruction, span): &&(Instruction, Range<usize>)| {
            *instruction == Instruction::Name && self.source[span.clone()] == *text
        };
        if let Some((_, span)) = self.instructions[first..].iter().find(itself) {
            return Err(
                self.error(format!("`{text}` is computed from itself; take another name"), span.clone())
            );
        }
        self.emit(Instruction::Assign, name);
        Ok(())
    }

    /// Operands joined by operators of at least the given precedence.
    fn formula(&mut self, min_precedence: u8) -> Result<(), ExpressionError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(
                self.error(format!("nested deeper than {DEEPEST}; name the parts"), self.span.clone())
            );
        }
        self.operand()?;
        while let Token::Symbol(symbol) = self.token {
            let (operator, precedence) = match symbol {
                "+" => (Operator::Add, SUM),
                "-" => (Operator::Sub, SUM),
                "*" => (Operator::Mul, PRODUCT),
                "/" => (Operator::Div, PRODUCT),
                "^" | "**" => (Operator::Pow, POWER),
                _ => break,
            };
            if precedence < min_precedence {
                break;
            }
            let span = self.span.clone();
            self.advance()?;
            // Powers are right-associative, and their exponent may have a sign; the others are
            // left-associative.
            self.formula(if precedence == POWER { SIGN } else { precedence + 1 })?;
            self.emit(Instruction::Binary(operator), span);
        }
        self.depth -= 1;
        Ok(())
    }

    /// A number, a name, a call, a formula in parentheses, or a sign and an operand.
    fn operand(&mut self) -> Result<(), ExpressionError> {
        let span = self.span.clone();
        match self.token {
            Token::Number(x) => {
                self.emit(Instruction::Number(x), span);
                self.advance()
            }
            Token::Symbol("-") => {
                self.advance()?;
                self.formula(SIGN)?;
                self.emit(Instruction::Unary(Function::Neg), span);
                Ok(())
            }
            Token::Symbol("+") => {
                self.advance()?;
                self.formula(SIGN)
            }
            Token::Symbol("(") => {
                self.advance()?;
                self.formula(SUM)?;
                self.expect(")")
            }
            Token::Name => self.name_or_call(span),
            _ => Err(self.unexpected("a number, a name or `(`")),
        }
    }

    fn name_or_call(&mut self, span: Range<usize>) -> Result<(), ExpressionError> {
        let name = &self.source[span.clone()];
        let function = FUNCTIONS.iter().find(|(known, _)| *known == name);
        self.advance()?;
        let call = self.token == Token::Symbol("(");
        match (function, call) {
            (Some((_, function)), true) => {
                self.advance()?;
                self.formula(SUM)?;
                self.expect(")")?;
                self.emit(Instruction::Unary(*function), span);
            }
            (None, true) if name == "pow" => {
                self.advance()?;
                self.formula(SUM)?;
                self.expect(",")?;
                self.formula(SUM)?;
                self.expect(")")?;
                self.emit(Instruction::Binary(Operator::Pow), span);
            }
            (None, true) => {
                let known = FUNCTIONS.map(|(known, _)| known).join(", ");
                let help = format!("there is no function `{name}`; known are {known}, pow(x, n)");
                return Err(self.error(help, span));
            }
            (Some(_), false) => {
                let help = format!("`{name}` is a function; write {name}(...)");
                return Err(self.error(help, span));
            }
            (None, false) => {
                self.names.insert(name);
                self.emit(Instruction::Name, span);
            }
        }
        Ok(())
    }

    fn emit(&mut self, instruction: Instruction, span: Range<usize>) {
        self.instructions.push((instruction, span));
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), ExpressionError> {
        if self.token == Token::Symbol(symbol) {
            return self.advance();
        }
        Err(self.unexpected(&format!("an operator or `{symbol}`")))
    }

    /// Reads the next token.
    fn advance(&mut self) -> Result<(), ExpressionError> {
        const SYMBOLS: [&str; 11] = ["**", "+", "-", "*", "/", "^", "(", ")", ",", ";", "="];
        let rest = self.source[self.span.end..].trim_start();
        let start = self.source.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            (self.token, self.span) = (Token::End, start..start);
            return Ok(());
        };
        let length;
        if let Some(symbol) = SYMBOLS.into_iter().find(|s| rest.starts_with(s)) {
            (self.token, length) = (Token::Symbol(symbol), symbol.len());
        } else if first.is_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            self.token = Token::Name;
        } else if first.is_ascii_digit() || first == '.' {
            length = number_length(rest);
            let span = start..start + length;
            let x = rest[..length].parse::<f64>().ok().filter(|x| x.is_finite());
            let Some(x) = x else {
                let help = format!("`{}` is not a number that fits", &self.source[span.clone()]);
                return Err(self.error(help, span));
            };
            self.token = Token::Number(x);
        } else {
            let shown: String =
                if first.is_control() { first.escape_unicode().collect() } else { first.to_string() };
            let help = format!("`{shown}` has no meaning here; numbers, names, + - * / ^ and functions do");
            return Err(self.error(help, start..start + first.len_utf8()));
        }
        self.span = start..start + length;
        Ok(())
    }

    fn unexpected(&self, wanted: &str) -> ExpressionError {
        let found = match self.token {
            Token::End => "the end".to_string(),
            _ => format!("`{}`", &self.source[self.span.clone()]),
        };
        self.error(format!("expected {wanted}, found {found}"), self.span.clone())
    }

    fn error(&self, message: String, span: Range<usize>) -> ExpressionError {
        ExpressionError::new(message, self.source, span)
    }
}

/// How many bytes at the start of `text` belong to a number: digits, a point, digits, an exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}
