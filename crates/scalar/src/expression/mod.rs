//! Expressions: text that becomes a graph, such as `e = a*b; tanh(e + c)`.

mod parse;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::{Graph, Value};

/// A parsed formula: numbers, names, `+ - * / ^ **`, parentheses, and the functions tanh, exp, ln (or log), relu,
/// sigmoid, sqrt and pow(x, n).
///
/// Before the last formula there may be assignments, `name = formula;`.
///
/// ```
/// use charloom_scalar::{Expression, Graph};
/// let graph = Graph::new();
/// let y = Expression::parse("tanh(a*b + c)")?.eval(&graph, &[("a", 2.0), ("b", -3.0), ("c", 6.0)])?;
/// assert_eq!(y.data(), 0.0);
/// # Ok::<(), charloom_scalar::ExpressionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
    /// Of a stack machine, so that evaluation needs no recursion; each with its span in the source.
    instructions: Vec<(Instruction, Range<usize>)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Instruction {
    Number(f64),
    /// Pushes the value of the name at this span.
    Name,
    /// Gives the value on top of the stack the name at this span.
    Assign,
    /// Drops the value on top of the stack.
    Drop,
    Unary(Function),
    Binary(Operator),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Neg,
    Tanh,
    Exp,
    Ln,
    Relu,
    Sigmoid,
    Sqrt,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
}

/// What is wrong with an expression, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message} (column {})", self.column() + 1)]
pub struct ExpressionError {
    /// What is wrong, and how to correct it.
    pub message: String,
    /// The expression.
    pub source_text: String,
    /// The byte range that is wrong.
    pub span: Range<usize>,
}

impl ExpressionError {
    fn new(message: impl Into<String>, source: &str, span: Range<usize>) -> Self {
        Self { message: message.into(), source_text: source.to_string(), span }
    }

    /// The number of characters before the error.
    fn column(&self) -> usize {
        self.source_text[..self.span.start].chars().count()
    }

    /// Two lines: the expression, shortened to what is around the error if long, and `^` below the error.
    pub fn pointer(&self) -> String {
        const AROUND: usize = 30;
        let column = self.column();
        let chars: Vec<char> =
            self.source_text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let from = column.saturating_sub(AROUND);
        let wide = self.source_text[self.span.clone()].chars().count().clamp(1, AROUND);
        let to = chars.len().min(column + wide + AROUND);
        let (before, after) = (if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" });
        let text: String = chars[from..to].iter().collect();
        let indent = " ".repeat(before.chars().count() + column - from);
        format!("{before}{text}{after}\n{indent}{}", "^".repeat(wide))
    }
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// If it is malformed; the error has the position.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.to_string(), instructions: parse::parse(source)? })
    }

    /// Computes it in `graph`. Each name becomes a labelled leaf with its number in `names`.
    ///
    /// # Errors
    /// If a name has no number, has two, or is in `names` but not in the expression.
    pub fn eval<'g>(&self, graph: &'g Graph, names: &[(&str, f64)]) -> Result<Value<'g>, ExpressionError> {
        let mut given = BTreeMap::new();
        for &(name, data) in names {
            if given.insert(name, data).is_some() {
                return Err(self.error(format!("`{name}` is given two values; leave one away"), 0..0));
            }
        }
        let mut known: BTreeMap<&str, Value<'g>> = BTreeMap::new();
        let mut stack = Vec::new();
        for (instruction, span) in &self.instructions {
            let mut pop = || stack.pop().expect("the parser puts operands before operators");
            let value = match instruction {
                Instruction::Number(x) => graph.constant(*x),
                Instruction::Name => {
                    let name = &self.source[span.clone()];
                    match (known.get(name), given.get(name)) {
                        (Some(&value), _) => value,
                        (None, Some(&data)) => {
                            let value = graph.value(data).label(name);
                            known.insert(name, value);
                            value
                        }
                        (None, None) => {
                            let help = format!("`{name}` has no value; give it one, as in --let {name}=1");
                            return Err(self.error(help, span.clone()));
                        }
                    }
                }
                Instruction::Assign => {
                    let name = &self.source[span.clone()];
                    let value = pop();
                    if given.contains_key(name) {
                        let help = format!("`{name}` is computed here and given a value too; leave one away");
                        return Err(self.error(help, span.clone()));
                    }
                    known.insert(name, value);
                    if value.has_label() { value } else { value.label(name) }
                }
                Instruction::Drop => {
                    pop();
                    continue;
                }
                Instruction::Unary(function) => {
                    let x = pop();
                    match function {
                        Function::Neg => -x,
                        Function::Tanh => x.tanh(),
                        Function::Exp => x.exp(),
                        Function::Ln => x.ln(),
                        Function::Relu => x.relu(),
                        Function::Sigmoid => x.sigmoid(),
                        Function::Sqrt => x.sqrt(),
                    }
                }
                Instruction::Binary(operator) => {
                    let (b, a) = (pop(), pop());
                    match operator {
                        Operator::Add => a + b,
                        Operator::Sub => a - b,
                        Operator::Mul => a * b,
                        Operator::Div => a / b,
                        Operator::Pow => a.pow(b),
                    }
                }
            };
            stack.push(value);
        }
        if let Some(name) = given.keys().find(|name| !known.contains_key(*name)) {
            return Err(self.error(format!("`{name}` is given a value but not used; is it misspelt?"), 0..0));
        }
        Ok(stack.pop().expect("an expression has a value"))
    }

    fn error(&self, message: String, span: Range<usize>) -> ExpressionError {
        ExpressionError::new(message, &self.source, span)
    }
}
