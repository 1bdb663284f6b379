/** What the main thread and the data plane tell each other. */
import type { MessagePort } from 'node:worker_threads'
import type { Forward } from './nat/forwards.js'
import type { FlowTableMemory } from './nat/flow-table.js'
import type { Profile } from './nat/profiles.js'
import type { FromPolicy, ToPolicy } from './policy-protocol.js'
import type { DEAD_FLOWS } from './nat/settings.js'
import type { InterfaceAddress } from './route/source.js'
import type { Route } from './route/table.js'
import type { SocketRings } from './socket-ring.js'
import type { FaultRates } from './stack/device/fault.js'
import type { PacketHandle } from './stack/device/packet.js'
import type { TunHandle } from './stack/device/tun.js'
import type { PortRange } from './stack/port-range.js'
import type { TraceBatch, TraceRequest } from './trace/live.js'
import type { Trace } from './trace/steps.js'

/** A WAN as the data plane needs it. Sent whole at every change. */
export interface WanSettings {
  readonly up: boolean
  /** Administratively up; absent: as `up`. */
  readonly enabled?: boolean
  /** Bytes. */
  readonly mtu: number
  /** Addresses that flows may have, int32. Flows with others end. */
  readonly addresses: readonly number[]
  readonly routes: readonly Route[]
  /** Addresses that masqueraded flows may have, in the order in which the interface got them; absent: those of `routes`. */
  readonly sources?: readonly InterfaceAddress[]
}

/** How the WAN is reached: a packet socket, or a descriptor that carries packets as a TUN does (raw driver). */
export type WanHandle = { readonly kind: 'packet'; readonly packet: PacketHandle } | { readonly kind: 'plain'; readonly plain: TunHandle }

/** A WAN at the start. */
export interface WanStart {
  readonly handle: WanHandle
  readonly settings: WanSettings
  /** Addresses that no kernel has; null: the kernel's are shared. */
  readonly ownedAddresses: readonly number[] | null
  /** Those of them that tsnat answers ARP for, the first of which it resolves neighbours with; null: the kernel resolves. */
  readonly linkAddresses: readonly number[] | null
}

export type DeadFlows = (typeof DEAD_FLOWS)[number]

export interface WorkerSettings {
  readonly table: FlowTableMemory
  readonly stats: Float64Array
  /** event-ring.ts */
  readonly events: SharedArrayBuffer
  /** hooks/log-ring.ts; absent: what rules log is lost. */
  readonly logs?: SharedArrayBuffer
  /** eventfd that interrupts the worker's poll. */
  readonly wake: number
  readonly lan: { readonly tun: TunHandle; readonly mtu: number; readonly address: number }
  /** At least one, in the order of their zones. */
  readonly wans: readonly WanStart[]
  /** The gateway's own sockets: their table (stack/sockets/socket-table.ts), and the rings to the thread that has them. */
  readonly sockets: {
    readonly table: SharedArrayBuffer
    readonly rings: SocketRings
    /** From these they choose their own ports; those that programs of the host have by now are not theirs. */
    readonly ports: PortRange
  }
  readonly deadFlows: DeadFlows
  readonly ports: readonly PortRange[]
  readonly forwards: readonly Forward[]
  /** How it behaves: a profile, and what was set on top of it. */
  readonly behaviour: Profile
  readonly mssClamp: boolean
  /** Microseconds to go on asking the devices after the last packet before sleeping. */
  readonly busyPoll: number
  /** Those of the WAN apply to each of them. */
  readonly fault: { readonly lan: FaultSettings | null; readonly wan: FaultSettings | null }
  /** Names of the interfaces by number: lo, that of the LAN, those of the WANs; the seed for the choice among next hops; what is in effect from the first packet on. */
  readonly policy: { readonly interfaces: readonly string[]; readonly seed: number; readonly messages: readonly ToPolicy[] }
}

export interface FaultSettings {
  readonly incoming: FaultRates
  readonly outgoing: FaultRates
  readonly seed: number
}

/** The worker's workerData. It reads its port by hand, after `wake` was signalled. */
export interface WorkerStart {
  readonly settings: WorkerSettings
  readonly port: MessagePort
}

export type ToWorker =
  /** Where a message is about a WAN, `index` says which: 0 is the first. */
  | { readonly type: 'wan'; readonly index: number; readonly settings: WanSettings }
  | { readonly type: 'wan-device'; readonly index: number; readonly handle: WanHandle }
  | { readonly type: 'lan-mtu'; readonly mtu: number }
  | { readonly type: 'ports'; readonly ports: readonly PortRange[]; readonly forwards: readonly Forward[] }
  /** The answer to an 'ask'; mac null: nobody there. */
  | { readonly type: 'neighbour'; readonly index: number; readonly address: number; readonly mac: { readonly high: number; readonly low: number } | null }
  /** Pairs of flow index and generation. */
  | { readonly type: 'delete'; readonly id: number; readonly flows: Int32Array }
  /** What would become of a packet that came from there? Changes nothing. `isNew`: as if no flow had its tuple. */
  | { readonly type: 'trace'; readonly id: number; readonly zone: number; readonly mark: number; readonly isNew: boolean; readonly bytes: Uint8Array }
  /** Traces packets as they pass, until told otherwise; null ends it. */
  | { readonly type: 'trace-live'; readonly request: TraceRequest | null }
  | { readonly type: 'policy'; readonly message: ToPolicy }
  /** Copies packets of these zones into the ring (capture-ring.ts) until told otherwise; a zone's number is that of its interface there. */
  | { readonly type: 'capture'; readonly ring: SharedArrayBuffer | null; readonly zones: readonly number[] }
  | { readonly type: 'stop' }

export type FromWorker =
  | { readonly type: 'ready' }
  /** The data plane needs the Ethernet address of a neighbour on a WAN. */
  | { readonly type: 'ask'; readonly index: number; readonly address: number }
  | { readonly type: 'deleted'; readonly id: number; readonly flows: Int32Array }
  | { readonly type: 'traced'; readonly id: number; readonly trace: Trace }
  | { readonly type: 'traces'; readonly batch: TraceBatch }
  | { readonly type: 'policy'; readonly message: FromPolicy }
  | { readonly type: 'device-lost'; readonly zone: number; readonly errno: number }
  | { readonly type: 'stopped' }
