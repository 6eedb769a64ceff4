// Two updates in place of one buffer, side by side, then a read of the first one's bytes.
util.func public @main(%update: !stream.resource<external>, %rest: !stream.resource<external>)
    -> (!stream.resource<transient>, !stream.resource<transient>, !stream.timepoint) {
  %c0 = arith.constant 0 : index
  %c512 = arith.constant 512 : index
  %c2048 = arith.constant 2048 : index
  %c2560 = arith.constant 2560 : index
  %results:2, %done = stream.async.execute
      with(%update as %a: !stream.resource<external>{%c512}, %rest as %b: !stream.resource<external>{%c2048})
      -> (!stream.resource<transient>{%c2560}, !stream.resource<transient>{%c512}) {
    %empty = stream.async.alloca : !stream.resource<transient>{%c2560}
    %head = stream.async.copy %a[%c0 to %c512], %empty[%c0 to %c512], %c512
        : !stream.resource<external>{%c512} -> %empty as !stream.resource<transient>{%c2560}
    %whole = stream.async.copy %b[%c0 to %c2048], %head[%c512 to %c2560], %c2048
        : !stream.resource<external>{%c2048} -> %head as !stream.resource<transient>{%c2560}
    %read = stream.async.slice %whole[%c0 to %c512]
        : !stream.resource<transient>{%c2560} -> !stream.resource<transient>{%c512}
    stream.yield %whole, %read : !stream.resource<transient>{%c2560}, !stream.resource<transient>{%c512}
  } => !stream.timepoint
  util.return %results#0, %results#1, %done : !stream.resource<transient>, !stream.resource<transient>, !stream.timepoint
}
