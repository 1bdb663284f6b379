/**
 * A link without Ethernet headers: two TUN interfaces, packets carried between them by the event loop of this process.
 * It stands in for tunnels (IPIP, GRE, WireGuard, PPP), which a kernel may lack. Slow, and still while the event loop is
 * blocked; no offloads.
 */
import { native } from '../../native.js'
import type { LabNamespace } from './namespace.js'

const SLAB_BYTES = 1 << 20
const BATCH = 64

/** Copies what can be read from one TUN to the other. */
const pump = (from: number, to: number): object => {
  const slab = new Uint8Array(SLAB_BYTES)
  const at = new Int32Array(BATCH)
  const length = new Int32Array(BATCH)
  const result = new Int32Array(3)
  const watch: object = native().watchOpen(from, () => {
    const count = native().readBatch(from, false, slab, 0, SLAB_BYTES, 0, at, length, BATCH)
    // A negative count means that the interface is down; the watch wakes again when it is up and has packets.
    if (count > 0) native().writeBatch(to, false, slab, 0, at, length, count, result, 0)
    native().watchRearm(watch)
  })
  return watch
}

/** A running line; the interfaces disappear when it is closed. */
export class Line {
  readonly #fds: readonly [number, number]
  readonly #watches: readonly object[]

  constructor(a: LabNamespace, nameA: string, b: LabNamespace, nameB: string) {
    const fdA = a.inside(() => native().tunOpen(nameA, false, []).fd)
    const fdB = b.inside(() => native().tunOpen(nameB, false, []).fd)
    this.#fds = [fdA, fdB]
    this.#watches = [pump(fdA, fdB), pump(fdB, fdA)]
  }

  close(): void {
    for (const watch of this.#watches) native().watchClose(watch)
    for (const fd of this.#fds) native().close(fd)
  }
}
