"""The rewriting itself: follow which values share elements, and turn writes into new values.

Every tensor belongs to a tree: its root is a tensor with elements of its own, below are views. A write to a
view makes a new value of it and of each source up to the root. All other views of the root are then out of
date. A read takes one anew from the root's new value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lowering.ir.aten import OpSchema, SchemaError
from lowering.ir.dims import all_equal, is_row_major
from lowering.ir.facts.effects import changes_strides
from lowering.ir.facts.higher_order import gives_fresh
from lowering.ir.facts.namespaces import has_schema, is_higher_order
from lowering.ir.facts.views import of_any_strides
from lowering.ir.location import NO_LOCATION
from lowering.ir.program import Arg, Argument, Graph, Node, Output, Ref
from lowering.ir.symbols import Dim
from lowering.ir.types import TensorType
from lowering.ir.view_rules import Form
from lowering.ir.views import Doubt, View, relations
from lowering.passes.builder import Builder
from lowering.passes.errors import NotFunctional
from lowering.passes.rewriting import SchemaOf, defined_values, substitute, with_graphs


class Rewriter:
    """One pass over one graph. `written` holds, after `run`, the graph inputs that were written to."""

    def __init__(self, graph: Graph, schema_of: SchemaOf) -> None:
        self.graph = graph
        self.schema_of = schema_of
        self.builder = Builder(graph)
        self.views: dict[str, View] = {}
        self.roots: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        # The current holder of a value, and the version of its root for which it holds.
        self.current: dict[str, tuple[int, str]] = {}
        # The node that made a view, and the holders of the values it read.
        self.definitions: dict[str, tuple[Node, dict[str, Arg]]] = {}
        self.doubts: dict[str, dict[str, None]] = {}
        self.tainted: dict[str, str] = {}
        self.written: dict[str, Node] = {}
        self.outputs: tuple[Arg, ...] = ()
        self.node: Node | None = None

    def run(self) -> Graph:
        """The functional graph. Raises NotFunctional."""
        inputs = [item.name for item in self.graph.inputs if isinstance(item, Ref)]
        for name in inputs:
            self.add_root(name)
        for node in self.graph.nodes:
            self.builder.location = node.location
            self.rewrite(node)
        self.builder.location = NO_LOCATION
        self.node = None
        self.outputs = tuple(substitute(output, self.read) for output in self.graph.outputs)
        self.written = {name: node for name, node in self.written.items() if name in inputs}
        for name in inputs:
            if self.roots.get(name) in self.tainted:
                raise NotFunctional(self.tainted[name])
        nodes = tuple(self.builder.nodes)
        values = defined_values(self.graph.inputs, nodes, self.builder.values)
        return replace(self.graph, outputs=self.outputs, nodes=nodes, values=values)

    # ------------------------------------------------------------------------------------------ values

    def add_root(self, name: str) -> None:
        """A tensor with elements of its own."""
        if isinstance(self.graph.values.get(name), TensorType):
            self.roots[name] = name
            self.versions[name] = 0
            self.current[name] = (0, name)

    def add_view(self, name: str, view: View, holder: str) -> None:
        """A view, whose value at present is `holder`."""
        root = self.roots[view.source]
        self.views[name] = view
        self.roots[name] = root
        self.current[name] = (self.versions[root], holder)

    def add_doubt(self, name: str, sources: tuple[str, ...]) -> None:
        """A tensor of which it is not known whether it shares elements with others."""
        self.add_root(name)
        for source in sources:
            if name in self.roots and source in self.roots:
                self.doubts.setdefault(name, {})[self.roots[source]] = None
                self.doubts.setdefault(self.roots[source], {})[name] = None

    def read(self, name: str) -> Ref:
        """The current holder of this value; a view that is out of date is taken anew."""
        root = self.roots.get(name)
        if root is None:
            return Ref(name)
        if root in self.tainted:
            raise NotFunctional(self.tainted[root], self.node)
        version, holder = self.current[name]
        if version != self.versions[root]:
            holder = self.take_anew(name)
            self.current[name] = (self.versions[root], holder)
        return Ref(holder)

    def take_anew(self, name: str) -> str:
        view = self.views[name]
        source = self.read(view.source).name
        if view.form is not Form.ONE_WAY:
            return self.builder.replay(view, source, name)
        # The same call again, on the new source; of its other arguments it takes what it took then.
        node, held = self.definitions[name]
        args = _substituted(node, held | {view.source: Ref(source)})
        renamed = {result: self.builder.new_name(result) for result in node.results()}
        for result, new in renamed.items():
            self.builder.values[new] = self.builder.values[result]
        outputs = tuple(
            renamed[output]
            if isinstance(output, str)
            else output and tuple(item and renamed[item] for item in output)
            for output in node.outputs
        )
        copy = Node(self.builder.new_name(node.name), node.target, args, outputs, node.location)
        self.builder.nodes.append(copy)
        return renamed[name]

    def write(self, name: str, new: str, node: Node) -> None:
        """The elements of `name` become those of `new`; so change everything it is a view of."""
        root = self.roots[name]
        holders = self.back_to_root(name, new, node)
        self.versions[root] += 1
        for holder, value in holders.items():
            self.current[holder] = (self.versions[root], value)
        self.written.setdefault(root, node)
        self.taint(root, node)

    def back_to_root(self, written: str, new: str, node: Node) -> dict[str, str]:
        """The new values of a written view and of what it is a view of. Raises NotFunctional."""
        holders, name, value = {written: new}, written, new
        while name in self.views:
            view = self.views[name]
            before = self.read(view.source).name
            after = self.builder.view_inverse(view, before, value)
            if after is None:
                by_strides = self.by_strides(written, new)
                if by_strides is None:
                    made_by = self.definitions[name][0].target
                    raise NotFunctional(f"it writes through a view made by {made_by}", node)
                return {written: new, self.roots[written]: by_strides}
            name, value = view.source, after
            holders[name] = value
        return holders

    def by_strides(self, written: str, new: str) -> str | None:
        """The new value of the root of a view, by where its elements lie; None if that is not known."""
        root, name = self.roots[written], written
        while name in self.views:
            if self.views[name].form in (Form.CONJUGATE, Form.NEGATIVE):
                return None
            name = self.views[name].source
        base, type_ = self.graph.values[root], self.graph.values[written]
        assert isinstance(base, TensorType)
        assert isinstance(type_, TensorType)
        sizes, strides, offset = map(_literal, (type_.sizes, type_.strides, (type_.offset,)))
        dense = is_row_major(base) is True and base.offset == 0 and base.dtype is type_.dtype
        if not dense or sizes is None or strides is None or offset is None:
            return None
        view = View(root, Form.AS_STRIDED, (sizes, strides, *offset))
        return self.builder.view_inverse(view, self.read(root).name, new)

    def taint(self, root: str, node: Node) -> None:
        """A value that may share elements with a written root cannot be read any more."""
        reached = {root}
        pending = [root]
        while pending:
            for other in self.doubts.get(pending.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    pending.append(other)
                    self.tainted[other] = (
                        f"{node.name} writes to {root}, and whether {other} shares its elements depends on "
                        "sizes or values that the program does not fix"
                    )

    # ------------------------------------------------------------------------------------------ nodes

    def rewrite(self, node: Node) -> None:
        self.node = node
        if node.functional:
            self.rewrite_read(node, {})
            return
        schema = self.schema_of(node.target)
        if schema is None:
            self.rewrite_other(node)
            return
        try:
            bound = schema.bind(node.args)
        except SchemaError as error:
            raise NotFunctional(str(error), node) from None
        written = schema.written(bound)
        if written and changes_strides(schema.tags):
            raise NotFunctional("it changes the sizes or strides of its argument in place", node)
        if written:
            self.rewrite_write(node, schema, bound, written)
        elif self.is_self(node, schema):
            self.alias_self(node, schema, bound)
        else:
            self.rewrite_read(node, relations(node, schema, bound, self.graph.values))

    def is_self(self, node: Node, schema: OpSchema) -> bool:
        """Whether the call returns its argument and does nothing that a value shows (`requires_grad_`)."""
        return len(schema.returns) == 1 and schema.returns[0].writes and bool(node.outputs)

    def alias_self(self, node: Node, schema: OpSchema, bound: dict[str, Arg]) -> None:
        source = bound[schema.written_return(0) or ""]
        for name in node.results():
            assert isinstance(source, Ref)
            self.add_view(name, View(source.name, Form.IDENTITY), self.read(source.name).name)

    def rewrite_read(self, node: Node, found: dict[str, View | Doubt]) -> None:
        """A node that writes nothing. `found`: the results that are views, or perhaps are."""
        found = {name: self.from_root(relation) for name, relation in found.items()}
        held: dict[str, Arg] = {name: self.read(name) for name in node.refs()}
        moved = {name for name, arg in held.items() if self.is_elsewhere(name, arg)}
        only = next(iter(found.values()), None)
        if moved and (general := of_any_strides(node.target)) is not None:
            node = _with_any_strides(node, general)
        elif moved and isinstance(only, View) and self.needs_strides(node, only):
            # Strides decide whether or what this call gives, and a new value need not share them.
            (name,) = found
            self.add_view(name, only, self.builder.replay(only, self.read(only.source).name, name))
            self.definitions[name] = node, held
            return
        self.builder.nodes.append(replace(node, args=_substituted(node, held)))
        for name in node.results():
            relation = found.get(name)
            if isinstance(relation, View) and relation.source in self.roots:
                self.add_view(name, relation, name)
                self.definitions[name] = node, held
                self.builder.retype(relation, self.read(relation.source).name, name)
            elif isinstance(relation, Doubt):
                self.add_doubt(name, relation.sources)
            else:
                self.add_root(name)

    def needs_strides(self, node: Node, view: View) -> bool:
        if node.target == "prims.collapse_view.default":
            return True
        if node.target in ("aten.unflatten.int", "aten.view_as.default"):
            type_ = self.graph.values[next(node.results())]
            return isinstance(type_, TensorType) and type_.is_static
        return view.form in (Form.BITCAST, Form.VIEW_AS_COMPLEX, Form.AS_STRIDED)

    def is_elsewhere(self, name: str, arg: Arg) -> bool:
        """Whether a value is held by one of other strides than it had when the program was exported."""
        old = self.graph.values.get(name)
        new = self.builder.values.get(arg.name) if isinstance(arg, Ref) else None
        if not isinstance(old, TensorType) or not isinstance(new, TensorType):
            return False
        return self.versions.get(self.roots[name], 0) > 0 or (old.strides, old.offset) != (
            new.strides,
            new.offset,
        )

    def from_root(self, relation: View | Doubt) -> View | Doubt:
        """`as_strided` addresses its source's whole storage, so it is a view of the root."""
        if not isinstance(relation, View) or relation.form is not Form.AS_STRIDED:
            return relation
        root, source = self.roots[relation.source], self.graph.values[relation.source]
        base = self.graph.values[root]
        assert isinstance(source, TensorType)
        assert isinstance(base, TensorType)
        sizes, strides, offset = relation.data
        if offset is None and isinstance(source.offset, int):
            offset = source.offset
        literal = all(
            isinstance(items, tuple) and all(isinstance(item, int) for item in items)
            for items in (sizes, strides)
        )
        # An offset may be a number that only the data tells.
        known = literal and isinstance(offset, int | Ref)
        if not known or is_row_major(base) is not True or base.offset != 0:
            return Doubt((relation.source,))
        return View(root, Form.AS_STRIDED, (sizes, strides, offset))

    def rewrite_other(self, node: Node) -> None:
        """An operator that is not ATen's."""
        if has_schema(node.target):
            raise NotFunctional("its schema is not known, so that it may write to its arguments", node)
        held: dict[str, Arg] = {name: self.read(name) for name in node.refs()}
        made = replace(node, args=_substituted(node, held))
        self.builder.nodes.append(with_graphs(made, lambda graph: self.nested(graph, node)))
        sources = tuple(name for name in node.refs() if name in self.roots)
        for name in node.results():
            if is_higher_order(node.target) and not gives_fresh(node.target):
                self.add_doubt(name, sources)
            else:
                self.add_root(name)

    def nested(self, graph: Graph, node: Node) -> Graph:
        """A graph that a node holds, functional by itself."""
        rewriter = Rewriter(graph, self.schema_of)
        made = rewriter.run()
        if rewriter.written:
            name, writer = next(iter(rewriter.written.items()))
            raise NotFunctional(f"{writer.name} in its graph {graph.name} writes to the operand {name}", node)
        return made

    def rewrite_write(
        self, node: Node, schema: OpSchema, bound: dict[str, Arg], written: tuple[str, ...]
    ) -> None:
        targets = {name: _refs(bound[name]) for name in written}
        self.check_targets(node, [ref for refs in targets.values() for ref in refs])
        args = _substituted(node, {name: self.read(name) for name in node.refs()})
        outputs: list[Output] = []
        new: dict[str, tuple[str, ...]] = {}
        for index in range(len(schema.returns)):
            output = node.outputs[index] if index < len(node.outputs) else None
            name = schema.written_return(index)
            if name in targets:
                output = self.new_values(bound[name], output)
                new[name] = (output,) if isinstance(output, str) else tuple(o for o in output or () if o)
            outputs.append(output)
        for name in written:
            if name not in new:
                output = self.new_values(bound[name], None)
                new[name] = (output,) if isinstance(output, str) else tuple(o for o in output or () if o)
                outputs.append(output)
        self.builder.nodes.append(replace(node, args=args, outputs=tuple(outputs), functional=True))
        own = {value for values in new.values() for value in values}
        for name in node.results():
            if name not in own:
                self.add_root(name)
        for name, refs in targets.items():
            for ref, value in zip(refs, new[name], strict=True):
                self.builder.values[value] = self.builder.cloned(self.builder.tensor(ref))
                self.write(ref, value, node)
                if value in set(node.results()):
                    self.add_view(value, View(ref, Form.IDENTITY), value)

    def new_values(self, written: Arg, output: Output) -> Output:
        """Names for the new values of a written argument; names that the node already gives are kept."""
        if isinstance(written, Ref):
            return output if isinstance(output, str) else self.builder.new_name(f"{written.name}_written")
        given = output if isinstance(output, tuple) else ()
        names = [*given, *[None] * (len(_refs(written)) - len(given))]
        return tuple(
            name or self.builder.new_name(f"{ref}_written")
            for name, ref in zip(names, _refs(written), strict=True)
        )

    def check_targets(self, node: Node, refs: list[str]) -> None:
        roots = [self.roots.get(ref) for ref in refs]
        if None in roots:
            raise NotFunctional("it writes to something that is not a tensor of this graph", node)
        if len(set(roots)) < len(roots):
            raise NotFunctional("it writes twice to tensors that share their elements", node)
        for name in node.results():
            result = self.graph.values.get(name)
            for ref in refs:
                type_ = self.graph.values[ref]
                if (
                    len(refs) == 1
                    and ".out" in node.target
                    and isinstance(result, TensorType)
                    and isinstance(type_, TensorType)
                    and all_equal(result.sizes, type_.sizes) is not True
                ):
                    raise NotFunctional("it may resize the tensor it writes to", node)


def _literal(terms: tuple[Dim, ...]) -> tuple[int, ...] | None:
    """The terms as numbers, None if one depends on a size."""
    numbers = tuple(term for term in terms if isinstance(term, int))
    return numbers if len(numbers) == len(terms) else None


def _refs(arg: Arg) -> tuple[str, ...]:
    items = arg if isinstance(arg, tuple) else (arg,)
    return tuple(item.name for item in items if isinstance(item, Ref))


def _substituted(node: Node, held: Mapping[str, Arg]) -> tuple[Argument, ...]:
    return tuple(a._replace(value=substitute(a.value, held.__getitem__)) for a in node.args)


def _with_any_strides(node: Node, target: str) -> Node:
    """`view` demands strides that a new value need not have; `reshape` does the same to any."""
    args = tuple(a._replace(name="shape") if a.name == "size" else a for a in node.args)
    return replace(node, target=target, args=args)
