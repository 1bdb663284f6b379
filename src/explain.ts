/** What would become of a packet: it takes the way of real ones, with a recorder that is dry. Before something would be opened, counted or sent, it stops. */
import type { Attachment } from './attachment.js'
import type { Hooks } from './hooks/hooks.js'
import type { KnownFlows } from './known-flows.js'
import type { LocalPath } from './local-path.js'
import { type FlowTable, ZONE_SELF } from './nat/flow-table.js'
import { translate } from './nat/translate.js'
import type { NewFlows } from './new-flows.js'
import type { PathCheck } from './path-check.js'
import type { Slab } from './stack/batch.js'
import { clampMss, MSS_OVERHEAD } from './stack/mss.js'
import { Packet, parse } from './stack/parse.js'
import type { Scratch } from './stack/scratch.js'
import * as tcp from './stack/wire/tcp.js'
import * as vnet from './stack/wire/vnet.js'
import type { Recorder } from './trace/recorder.js'
import type { Trace } from './trace/steps.js'
import type { Tracing } from './trace/tracing.js'

export interface ExplainerParts {
  readonly slab: Slab
  readonly scratch: Scratch
  readonly table: FlowTable
  /** By zone. */
  readonly attachments: readonly Attachment[]
  readonly hooks: Hooks
  readonly paths: PathCheck
  readonly tracing: Tracing
  readonly mssClamp: boolean
  readonly local: LocalPath
}

export class Explainer {
  readonly #slab: Slab
  readonly #scratch: Scratch
  readonly #table: FlowTable
  readonly #attachments: readonly Attachment[]
  readonly #hooks: Hooks
  readonly #paths: PathCheck
  readonly #tracing: Tracing
  readonly #mssClamp: boolean
  readonly #local: LocalPath
  readonly #known: KnownFlows
  readonly #new: NewFlows
  readonly #packet = new Packet()

  constructor(parts: ExplainerParts, known: KnownFlows, newFlows: NewFlows) {
    this.#slab = parts.slab
    this.#scratch = parts.scratch
    this.#table = parts.table
    this.#attachments = parts.attachments
    this.#hooks = parts.hooks
    this.#paths = parts.paths
    this.#tracing = parts.tracing
    this.#mssClamp = parts.mssClamp
    this.#local = parts.local
    this.#known = known
    this.#new = newFlows
  }

  /**
   * What would become of a packet that came from `from`? Nothing is opened, counted or sent; the tracker of connections and limits are not
   * asked.
   * @param mark that it comes with; @param isNew as if no flow had its tuple
   */
  explain(recorder: Recorder, bytes: Uint8Array, from: Attachment, mark: number, isNew: boolean): Trace {
    const { view, bytes: slab } = this.#slab
    const at = this.#scratch.take(bytes.length)
    vnet.clear(view, at - vnet.LENGTH)
    slab.set(bytes, at)
    recorder.begin(view, at, bytes.length, from.zone, mark)
    recorder.isDry = true
    this.#tracing.start(recorder)
    this.#hooks.beginDry(mark)
    const packet = this.#packet
    let drop = parse(view, at, bytes.length, packet)
    if (drop === 0) {
      const side = isNew ? -1 : this.#table.find(packet.source, packet.destination, packet.ports, packet.protocol | (from.zone << 8))
      this.#tracing.flow(side)
      drop = side < 0 ? this.#new.receive(packet, from) : this.#explainKnown(packet, side, from)
    }
    if (drop !== 0) recorder.dropped(drop)
    this.#hooks.endDry()
    this.#tracing.stop()
    this.#scratch.reset()
    return recorder.take()
  }

  /** As the pipeline, without tracking. */
  #explainKnown(packet: Packet, side: number, from: Attachment): number {
    const { view } = this.#slab
    if (this.#table.egressOf(side) === ZONE_SELF) return this.#local.receive(packet, side, from)
    const to = this.#attachments[this.#table.egressOf(side)]!
    const link = this.#known.decide(packet, side, from, to)
    if (link < 0) return ~link
    const unfit = this.#paths.check(packet, from, this.#known.mtu)
    if (unfit !== 0) return unfit
    if ((packet.tcpFlags & tcp.SYN) !== 0 && this.#mssClamp) clampMss(view, packet, Math.min(from.mtu, this.#known.mtu) - MSS_OVERHEAD)
    translate(view, packet, this.#table, side)
    this.#tracing.sent(packet.at, packet.length, to, link)
    return 0
  }
}
