/** The regions of the slab: which part of the data plane's memory is whose. */
import { createSlab, type Region, type Slab } from './stack/batch.js'

/** Receive regions: small enough to stay in the cache, large enough for several superpackets. */
const RECEIVE_BYTES = 512 << 10
const SCRATCH_BYTES = 4 << 20
const WAITING_BYTES = 1 << 20
/** SYNs that nobody waits for. */
const SYN_BYTES = 64 << 10
/** Packets of the gateway's own sockets, in one turn. */
const SOCKET_BYTES = 2 << 20
/** Extra room, for devices that need some of the slab. */
const EXTRA_BYTES = 16 << 20

/** What one device has. */
export interface DeviceMemory {
  readonly received: Region
  readonly extra: Region
}

export interface DataPlaneMemory {
  readonly slab: Slab
  readonly lan: DeviceMemory
  readonly wans: readonly DeviceMemory[]
  /** Packets that the gateway makes itself. */
  readonly scratch: Region
  readonly fragments: Region
  /** Packets that wait for a next hop. */
  readonly waiting: Region
  readonly syns: Region
  readonly sockets: Region
}

/** @param fragmentBytes for fragments that wait; @param hasSockets the gateway has some of its own */
export const layOut = (wanCount: number, fragmentBytes: number, hasSockets: boolean): DataPlaneMemory => {
  let end = 0
  const region = (size: number): Region => ({ start: end, end: (end += size) })
  const received = Array.from({ length: wanCount + 1 }, () => region(RECEIVE_BYTES))
  const scratch = region(SCRATCH_BYTES)
  const fragments = region(fragmentBytes)
  const waiting = region(WAITING_BYTES)
  const syns = region(SYN_BYTES)
  const sockets = region(hasSockets ? SOCKET_BYTES : 0)
  const [lan, ...wans] = received.map((one) => ({ received: one, extra: region(EXTRA_BYTES) }))
  return { slab: createSlab(end), lan: lan!, wans, scratch, fragments, waiting, syns, sockets }
}
