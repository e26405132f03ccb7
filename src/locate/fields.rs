//! The names of the fields that handles and pointers stand in, for the paths of a result.

use super::assemble::Doubtful;
use super::btree::NodeLayout;
use super::collections::{Life, Told};
use super::dwarf::{Member, Origin, Shape, ShapeKind, TypeId, Types};
use super::inputs::ObjectInput;
use super::name::Name;
use super::ownership::{Cycle, Held, Node, NodeKind, Owner, Ownership, Step};
use super::symbols::Program;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

/// Structs in structs that are gone into.
const DEPTH: u32 = 64;

/// The debug information of the running program's types, which is read once, when it is asked for first.
pub(super) struct DebugInformation<'a> {
    program: &'a Program,
    types: OnceCell<Option<Types<'a>>>,
    until: Instant,
}

impl<'a> DebugInformation<'a> {
    /// That of a program, which is to be read until then.
    pub(super) fn new(program: &'a Program, until: Instant) -> Self {
        Self { program, types: OnceCell::new(), until }
    }

    /// The types with such names, and the statics, if they are asked for.
    fn types(&self, names: &HashSet<&str>, has_static: bool) -> Option<&Types<'a>> {
        let read = || {
            let budget = self.until.saturating_duration_since(Instant::now());
            Types::read(self.program.bytes(), self.program.name(), names, has_static, budget)
        };
        self.types.get_or_init(read).as_ref()
    }

    /// Finds out what the pointers are that stand in such statics and thread-locals.
    pub(super) fn collections(&self, owners: &[Owner], objects: &[ObjectInput]) -> Vec<Told> {
        let names = objects.iter().map(|object| object.type_name).collect();
        let nothing = || vec![Told::Nothing; owners.len()];
        let Some(types) = self.types(&names, true) else { return nothing() };
        let fields = Fields::new(types, self.program.name(), &Ownership::default());
        let told = |owner| {
            let (found, _) = fields.in_root(owner, What::Pointer)?;
            let size = |element| types.shape(element).map(|shape| shape.size);
            match found.target {
                Layout::Many { element, order: Order::Slice } => size(element).map(Told::Vec),
                Layout::Many { element, order: Order::Ring } => size(element).map(Told::Deque),
                Layout::One(types) if fields.are_nodes(&types) => fields.map(&types).map(Told::Map),
                Layout::Many { order: Order::Entries, .. } | Layout::One(_) => Some(Told::Other),
                Layout::Unknown => None,
            }
        };
        owners.iter().map(|owner| told(owner).unwrap_or(Told::Nothing)).collect()
    }
}

/// Names the fields in paths, cycles and owners, where the program has debug information of its types that is read within the
/// budget, of the processor's time: what the machine does besides is not to decide what a report says. And finds out which of the
/// handles that may be elsewhere are where they were found.
pub(super) fn name_fields(
    ownership: &mut Ownership,
    doubtful: &[Doubtful],
    information: &DebugInformation<'_>,
) {
    let names: HashSet<&str> = ownership.objects.iter().map(|object| &*object.type_name).collect();
    let has_static = ownership
        .nodes
        .iter()
        .any(|node| matches!(node.held, Held::Root(Owner::Static(_) | Owner::ThreadLocal(_))));
    let program = information.program;
    let Some(types) = information.types(&names, has_static) else { return };
    let fields = Fields::new(types, program.name(), ownership);
    for &(handle, life) in doubtful {
        if let Owner::Block { node, .. } = ownership.handles[handle as usize].owner
            && fields.is_in_use(node, life)
        {
            ownership.handles[handle as usize].may_be_old = false;
        }
    }
    let rounds = fields.of_cycles(ownership);
    let Ownership { objects, handles, nodes, cycles, .. } = ownership;
    for node in nodes.iter_mut() {
        let what = what(node);
        match &mut node.held {
            Held::By(step) => step.field = fields.name(step.from, step.offset, what),
            Held::Root(owner) => fields.name_owner(owner, what),
            _ => {}
        }
    }
    let steps = cycles.iter_mut().flat_map(|cycle| &mut cycle.round);
    for (step, field) in steps.zip(rounds) {
        step.field = field;
    }
    for handle in handles.iter_mut() {
        if let Owner::Object { object, offset, field } = &mut handle.owner {
            let at = objects.binary_search_by_key(object, |object| object.id).ok();
            let node = at.and_then(|at| objects[at].node);
            *field = node.and_then(|node| fields.name(node, *offset, What::Handle));
        } else {
            fields.name_owner(&mut handle.owner, What::Handle);
        }
    }
}

/// What memory consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Layout {
    Unknown,
    /// One of these, whichever.
    One(Vec<TypeId>),
    /// One after another.
    Many {
        element: TypeId,
        order: Order,
    },
}

/// What the place of one among many says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    /// Its number.
    Slice,
    /// Nothing: the first may be anywhere.
    Ring,
    /// Nothing: they are the entries of a hash table.
    Entries,
}

/// What a word is, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// A number, most likely.
    Other,
    Pointer,
    /// A handle of refscope's.
    Handle,
}

/// What stands at an offset.
#[derive(Clone, Debug)]
struct Found {
    /// The names on the way there.
    pieces: Vec<String>,
    what: What,
    /// What it points to.
    target: Layout,
}

/// The name of what stands somewhere, and the layout of what that points to.
type Looked = (Option<Name>, usize);

/// No layout was found out yet.
const NOT_YET: u32 = u32::MAX;

struct Fields<'a, 'p> {
    types: &'a Types<'p>,
    program: &'a str,
    /// What each node consists of: an index of `known`.
    layouts: Vec<u32>,
    /// All layouts that there are; the first is [`Layout::Unknown`].
    known: Vec<Layout>,
    numbers: HashMap<Layout, usize>,
    /// By layout, offset in it or in one of its elements, and what is to be there.
    found: HashMap<(usize, u64, What), Looked>,
}

impl<'a, 'p> Fields<'a, 'p> {
    fn new(types: &'a Types<'p>, program: &'a str, ownership: &Ownership) -> Self {
        let mut fields = Self {
            types,
            program,
            layouts: Vec::new(),
            known: vec![Layout::Unknown],
            numbers: HashMap::from([(Layout::Unknown, 0)]),
            found: HashMap::new(),
        };
        fields.lay_out(ownership);
        fields
    }

    /// Finds out what each node consists of: objects by their type, blocks by what points to them.
    fn lay_out(&mut self, ownership: &Ownership) {
        let mut by_type = HashMap::new();
        let mut layouts = vec![NOT_YET; ownership.nodes.len()];
        // What leads to the blocks of cycles.
        let into: HashMap<u32, &Step> = (ownership.cycles.iter())
            .flat_map(|cycle| cycle.round.iter().zip(cycle.round.iter().cycle().skip(1)))
            .map(|(step, next)| (next.from, step))
            .collect();
        let before = |node: usize| match &ownership.nodes[node].held {
            Held::By(step) => Some(step),
            _ => into.get(&(node as u32)).copied(),
        };
        for node in 0..ownership.nodes.len() {
            let (mut at, mut above) = (node, Vec::new());
            let mut layout = loop {
                if layouts[at] != NOT_YET {
                    break layouts[at] as usize;
                }
                let node = &ownership.nodes[at];
                let layout = match (node.kind, &node.held) {
                    (NodeKind::Object(id), _) => {
                        let object = ownership.object(id);
                        object.map_or(0, |object| {
                            let of = (&*object.type_name, object.size);
                            *by_type.entry(of).or_insert_with(|| {
                                let candidates = self.types.candidates(of.0, of.1);
                                self.number(if candidates.is_empty() {
                                    Layout::Unknown
                                } else {
                                    Layout::One(candidates)
                                })
                            })
                        })
                    }
                    (NodeKind::Block(_), Held::Root(owner)) => {
                        let found = self.in_root(owner, What::Pointer);
                        let target = found.map_or(Layout::Unknown, |(found, _)| found.target);
                        self.number(target)
                    }
                    (NodeKind::Block(_), _) => match before(at) {
                        Some(step) if above.len() < ownership.nodes.len() => {
                            above.push(at);
                            at = step.from as usize;
                            continue;
                        }
                        _ => 0,
                    },
                };
                layouts[at] = layout as u32;
                break layout;
            };
            while let Some(block) = above.pop() {
                if let Some(step) = before(block) {
                    layout = self.look(layout, step.offset, What::Pointer).1;
                }
                layouts[block] = layout as u32;
            }
        }
        self.layouts = layouts;
        // Of all that is asked later, so that asking changes nothing.
        for (node, offset, what) in steps(ownership) {
            self.look(self.layouts[node as usize] as usize, offset, what);
        }
    }

    fn number(&mut self, layout: Layout) -> usize {
        let next = self.known.len();
        let number = *self.numbers.entry(layout.clone()).or_insert(next);
        if number == next {
            self.known.push(layout);
        }
        number
    }

    /// The number of the element that an offset lies in, and the offset in that.
    fn element(&self, layout: usize, offset: u64) -> (Option<String>, u64) {
        let Layout::Many { element, order } = &self.known[layout] else { return (None, offset) };
        match (self.types.shape(*element).map_or(0, |shape| shape.size), order) {
            (0, _) => (None, offset),
            (size, Order::Slice) => (Some(format!("[{}]", offset / size)), offset % size),
            (size, Order::Ring) => (Some("[..]".to_owned()), offset % size),
            (size, Order::Entries) => (Some("[entry]".to_owned()), offset % size),
        }
    }

    /// The name of what stands at an offset, and what that points to.
    fn look(&mut self, layout: usize, offset: u64, what: What) -> Looked {
        let (element, inner) = self.element(layout, offset);
        let (name, target) = if let Some(known) = self.found.get(&(layout, inner, what)) {
            known.clone()
        } else {
            let found = match &self.known[layout] {
                Layout::Unknown => None,
                Layout::One(candidates) => {
                    let found =
                        candidates.iter().map(|&id| self.descend(id, inner, what, false, 0));
                    self.agreed(found.collect(), what)
                }
                Layout::Many { element, order } => {
                    let mut found = self.descend(*element, inner, what, false, 0);
                    // A pair, whose fields are numbers.
                    let first = found.as_mut().and_then(|found| found.pieces.first_mut());
                    if let Some(first) = first.filter(|_| *order == Order::Entries) {
                        match first.as_str() {
                            "0" => "key".clone_into(first),
                            "1" => "value".clone_into(first),
                            _ => {}
                        }
                    }
                    found
                }
            };
            let target = found.as_ref().map_or(0, |found| self.number(found.target.clone()));
            let name = found.and_then(|found| joined(&found.pieces));
            self.found.insert((layout, inner, what), (name.clone(), target));
            (name, target)
        };
        (with_element(element, name), target)
    }

    /// As [`look`](Self::look), of what was looked at before.
    fn name(&self, node: u32, offset: u64, what: What) -> Option<Name> {
        let layout = *self.layouts.get(node as usize)? as usize;
        let (element, inner) = self.element(layout, offset);
        with_element(element, self.found.get(&(layout, inner, what))?.0.clone())
    }

    /// Whether a place in a node is in use, which depends on what collection's buffer it is.
    fn is_in_use(&self, node: u32, life: Life) -> bool {
        let layout = self.layouts.get(node as usize).map_or(0, |&layout| layout as usize);
        let (is_vec, is_deque) = match life {
            Life::Alive | Life::Likely => return true,
            Life::Unsure { as_vec, as_deque } => (as_vec, as_deque),
            Life::Spare | Life::SpareOrOther | Life::Dead => (false, false),
        };
        match self.known.get(layout) {
            Some(Layout::Many { order: Order::Slice, .. }) => is_vec,
            Some(Layout::Many { order: Order::Ring, .. }) => is_deque,
            Some(Layout::One(types)) if self.are_nodes(types) => false,
            // It is no such collection's.
            Some(Layout::Many { order: Order::Entries, .. } | Layout::One(_)) => true,
            Some(Layout::Unknown) | None => false,
        }
    }

    /// What the nodes of a `BTreeMap` are like, of one of these types.
    fn map(&self, types: &[TypeId]) -> Option<NodeLayout> {
        let [node] = types else { return None };
        let shape = self.types.shape(*node)?;
        let ShapeKind::Struct { members, .. } = &shape.kind else { return None };
        NodeLayout::of_type(shape.size, |name| {
            let member = members.iter().find(|member| member.name == name)?;
            Some((member.offset, self.types.shape(member.ty)?.size))
        })
    }

    /// Whether these are a `BTreeMap`'s nodes.
    fn are_nodes(&self, types: &[TypeId]) -> bool {
        types.iter().any(|&id| self.types.shape(id).is_some_and(|shape| is_node(&shape)))
    }

    fn of_cycles(&self, ownership: &Ownership) -> Vec<Option<Name>> {
        let rounds = ownership.cycles.iter().flat_map(|cycle| round(ownership, cycle));
        rounds.map(|(node, offset, what)| self.name(node, offset, what)).collect()
    }

    /// Names the field that an owner is, where it is no object.
    fn name_owner(&self, owner: &mut Owner, what: What) {
        let root = self.in_root(owner, what);
        let field = |found: &Found| joined(&found.pieces).map(|name| name.to_string());
        match (owner, root) {
            (Owner::Block { node, offset, field, .. }, _) => {
                *field = self.name(*node, *offset, what);
            }
            (Owner::Static(place), Some((found, shape))) => {
                place.field = field(&found);
                place.type_name = Some(super::type_name::shortened(&shape.name));
            }
            (Owner::ThreadLocal(place), Some((found, _))) => place.field = field(&found),
            _ => {}
        }
    }

    /// What stands in a static or thread-local, and its type.
    fn in_root(&self, owner: &Owner, what: What) -> Option<(Found, Rc<Shape>)> {
        let (id, offset) = match owner {
            Owner::Static(place) if place.image == self.program => {
                self.types.static_at(place.address)?
            }
            Owner::ThreadLocal(place) if place.image == self.program => {
                self.types.thread_local_at(place.offset?)?
            }
            _ => return None,
        };
        let nothing = Found { pieces: Vec::new(), what: What::Other, target: Layout::Unknown };
        Some((self.descend(id, offset, what, false, 0).unwrap_or(nothing), self.types.shape(id)?))
    }

    /// Follows the members of a type to what stands at an offset. Inside of a foreign type's own fields it is silent.
    fn descend(
        &self,
        id: TypeId,
        offset: u64,
        wanted: What,
        is_silent: bool,
        depth: u32,
    ) -> Option<Found> {
        let shape = self.types.shape(id).filter(|_| depth < DEPTH)?;
        let is_foreign = shape.from != Origin::Program;
        let is_silent = is_silent && !has_fields(&shape) || is_foreign;
        if offset >= shape.size && is_node(&shape) {
            // The node is an inner one, which has its children behind what a leaf has.
            let pieces = vec!["[child]".to_owned()];
            return Some(Found { pieces, what: What::Pointer, target: Layout::One(vec![id]) });
        }
        let mut found = match &shape.kind {
            ShapeKind::Other => {
                Found { pieces: Vec::new(), what: What::Other, target: Layout::Unknown }
            }
            ShapeKind::Pointer { to } => {
                Found { pieces: Vec::new(), what: What::Pointer, target: self.pointee(*to) }
            }
            ShapeKind::Array { element } => {
                let size = self.types.shape(*element)?.size;
                let index = offset.checked_div(size)?;
                let mut found =
                    self.descend(*element, offset % size, wanted, is_silent, depth + 1)?;
                if !is_silent {
                    found.pieces.insert(0, format!("[{index}]"));
                }
                found
            }
            ShapeKind::Struct { members, variants, .. } => {
                let lies_in = |member: &&Member| {
                    let size = self.types.shape(member.ty).map_or(0, |shape| shape.size);
                    (member.offset..member.offset.saturating_add(size)).contains(&offset)
                };
                let follow = |member: &Member, is_variant: bool| {
                    let within = offset - member.offset;
                    let mut found =
                        self.descend(member.ty, within, wanted, is_silent, depth + 1)?;
                    if !is_silent && !is_state_of(is_variant, &shape) && !is_wide(members) {
                        found.pieces.splice(0..0, piece(&member.name));
                    } else if is_foreign && let Some(part) = part(&shape.name, &member.name) {
                        found.pieces.insert(0, part.to_owned());
                    }
                    Some(found)
                };
                match members.iter().find(lies_in) {
                    Some(member) => follow(member, false)?,
                    None => {
                        let parts = variants.iter().filter(lies_in);
                        self.agreed(parts.map(|part| follow(part, true)).collect(), wanted)?
                    }
                }
            }
        };
        let is = |start: &str| shape.name.starts_with(start);
        if is_foreign
            && let ShapeKind::Struct { parameter: Some(element), .. } = shape.kind
            && let Some(order) = order(&shape.name)
        {
            // Their pointers are of bytes.
            found.target = Layout::Many { element, order };
        }
        if shape.from == Origin::Refscope && ["Rc<", "Arc<", "Weak<", "Box<"].into_iter().any(is) {
            found.what = What::Handle;
        }
        Some(found)
    }

    /// What all of them say: the names that they have in common, of those that are what is wanted, if any is.
    fn agreed(&self, all: Vec<Option<Found>>, wanted: What) -> Option<Found> {
        let has = all.iter().flatten().any(|found| found.what == wanted);
        let mut all = all.into_iter().flatten().filter(|found| !has || found.what == wanted);
        let mut found = all.next()?;
        for other in all {
            let same = found.pieces.iter().zip(&other.pieces).take_while(|(a, b)| a == b).count();
            found.pieces.truncate(same);
            if !self.is_same(&found.target, &other.target) {
                found.target = Layout::Unknown;
            }
        }
        Some(found)
    }

    /// Whether two layouts are the same, by name: each codegen unit has types of its own.
    fn is_same(&self, one: &Layout, other: &Layout) -> bool {
        let is_same = |one: &TypeId, other: &TypeId| {
            let shapes = (self.types.shape(*one), self.types.shape(*other));
            matches!(shapes, (Some(one), Some(other)) if one.name == other.name && one.size == other.size)
        };
        match (one, other) {
            (Layout::One(one), Layout::One(other)) => {
                one.iter().zip(other).all(|(one, other)| is_same(one, other))
            }
            (
                Layout::Many { element: one, order },
                Layout::Many { element: other, order: other_order },
            ) => is_same(one, other) && order == other_order,
            (one, other) => one == other,
        }
    }

    /// What a pointer to a type points to: bytes could be anything.
    fn pointee(&self, to: TypeId) -> Layout {
        match self.types.shape(to) {
            Some(shape) if shape.size > 1 => Layout::One(vec![to]),
            _ => Layout::Unknown,
        }
    }
}

/// What leads to a node.
fn what(node: &Node) -> What {
    match node.kind {
        NodeKind::Object(_) => What::Handle,
        NodeKind::Block(_) => What::Pointer,
    }
}

/// The steps of a cycle, and what each of them is.
fn round<'a>(
    ownership: &'a Ownership,
    cycle: &'a Cycle,
) -> impl Iterator<Item = (u32, u64, What)> + 'a {
    let next = cycle.round.iter().cycle().skip(1);
    let of = |(step, next): (&Step, &Step)| {
        (step.from, step.offset, what(&ownership.nodes[next.from as usize]))
    };
    cycle.round.iter().zip(next).map(of)
}

/// Each node and offset that a name is wanted of. There may be some for each object.
fn steps(ownership: &Ownership) -> impl Iterator<Item = (u32, u64, What)> + '_ {
    let of_nodes = ownership.nodes.iter().filter_map(|node| match &node.held {
        Held::By(step) => Some((step.from, step.offset, what(node))),
        _ => None,
    });
    let of_cycles = ownership.cycles.iter().flat_map(|cycle| round(ownership, cycle));
    let of_handles = ownership.handles.iter().filter_map(|handle| match handle.owner {
        Owner::Object { object, offset, .. } => {
            Some((ownership.object(object)?.node?, offset, What::Handle))
        }
        Owner::Block { node, offset, .. } => Some((node, offset, What::Handle)),
        _ => None,
    });
    of_nodes.chain(of_cycles).chain(of_handles)
}

/// Whether a type is a node of a `BTreeMap`.
fn is_node(shape: &Shape) -> bool {
    shape.from != Origin::Program && shape.name.starts_with("LeafNode<")
}

/// Whether a type's fields have names that the program gave. (A tuple in a foreign type has not.)
fn has_fields(shape: &Shape) -> bool {
    matches!(shape.kind, ShapeKind::Struct { .. })
        && shape.from == Origin::Program
        && !shape.name.starts_with('(')
}

/// Whether a member is a state of an async block or a coroutine.
fn is_state_of(is_variant: bool, shape: &Shape) -> bool {
    is_variant && shape.name.starts_with('{')
}

/// What a collection's buffer consists of, by the collection's type.
fn order(collection: &str) -> Option<Order> {
    match collection.split_once('<')?.0 {
        "Vec" => Some(Order::Slice),
        "VecDeque" => Some(Order::Ring),
        "RawTable" => Some(Order::Entries),
        _ => None,
    }
}

/// What a field of a collection's own block is, in words that say more than its name.
fn part(block: &str, field: &str) -> Option<&'static str> {
    match (block.split_once('<')?.0, field) {
        // Of a `BTreeMap`.
        ("LeafNode", "keys") => Some("[key]"),
        ("LeafNode", "vals") => Some("[value]"),
        // Of a `LinkedList`.
        ("Node", "element") => Some("[element]"),
        ("Node", "next") => Some("[next]"),
        ("Node", "prev") => Some("[previous]"),
        // Of a channel of tokio's. What was received stays in it.
        ("Block", "values") => Some("[channel slot]"),
        _ => None,
    }
}

/// Whether these are the two words of a pointer to a slice or a trait object, whose names rustc made up.
fn is_wide(members: &[Member]) -> bool {
    matches!(members, [one, two] if matches!(
        (&*one.name, &*two.name),
        ("data_ptr", "length") | ("pointer", "vtable")
    ))
}

/// A field's name as the source has it; `None` for what rustc made up.
fn piece(name: &str) -> Option<String> {
    match name.strip_prefix("__") {
        Some(number) if number.parse::<u32>().is_ok() => Some(number.to_owned()),
        Some(_) => None,
        None => Some(name.strip_prefix("_ref__").unwrap_or(name).to_owned()),
    }
}

/// `children[0].parent`.
fn joined<T: AsRef<str>>(pieces: &[T]) -> Option<Name> {
    let mut text = String::new();
    for piece in pieces.iter().map(AsRef::as_ref) {
        if !text.is_empty() && !piece.starts_with('[') {
            text.push('.');
        }
        text.push_str(piece);
    }
    (!text.is_empty()).then(|| text.into())
}

fn with_element(element: Option<String>, name: Option<Name>) -> Option<Name> {
    match (element, name) {
        (Some(element), Some(name)) => joined(&[&*element, &*name]),
        (Some(element), None) => Some(element.into()),
        (None, name) => name,
    }
}
