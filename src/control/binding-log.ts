/**
 * The log of bindings (RFC 6888 4): which inside endpoint had which outside endpoint, from when to when. One line when a binding is
 * made and one when it ends, to the log or to syslog. docs/logging.md tells users the fields.
 *
 * What is a binding depends on the setting: a mapping (and, where ports are shared and there are no mappings, a flow); each
 * flow; or a block of ports. Remotes are left out unless they are asked for (RFC 6888 REQ-12).
 */
import type { Logger } from 'pino'
import {
  EVENT_BLOCK_BEGIN, EVENT_BLOCK_END, EVENT_DESTROY, EVENT_MAPPING_BEGIN, EVENT_MAPPING_END, EVENT_NEW, type EventConsumer, FLAG_MAPPED,
  RECORD_FLAGS, RECORD_SIDES, RECORD_TIME, RECORD_TYPE, WANT_BLOCKS, WANT_FLOWS, WANT_MAPPINGS,
} from '../nat/event-ring.js'
import { SIDE_DESTINATION, SIDE_META, SIDE_PORTS, SIDE_SOURCE, SIDE_WORDS, ZONE_INSIDE } from '../nat/flow-table.js'
import type { BindingLogMode } from '../nat/settings.js'
import { protocolName } from '../protocol-names.js'
import { hasPorts } from '../stack/parse.js'
import { formatIpv4 } from '../stack/wire/address.js'
import { parseSyslogTarget } from '../syslog-target.js'
import type { EventHub, EventListener } from './event-hub.js'
import { Syslog } from './syslog.js'

export interface BindingLogSettings {
  readonly bindings: BindingLogMode
  /** Tell whom a flow speaks to. */
  readonly destinations: boolean
  /** `off`, or a target (syslog-target.ts). */
  readonly syslog: string
}

/** One line. Ports of ICMP are query identifiers. */
export interface Binding {
  /** `reset`: whatever was logged before has ended. */
  readonly event: 'create' | 'delete' | 'reset'
  readonly kind: 'mapping' | 'flow' | 'block' | 'all'
  readonly protocol?: string
  readonly insideAddress?: string
  readonly insidePort?: number
  readonly outsideAddress?: string
  readonly outsidePort?: number
  /** Of a block. */
  readonly firstPort?: number
  readonly lastPort?: number
  readonly remoteAddress?: string
  readonly remotePort?: number
}

const WANTS: Readonly<Record<BindingLogMode, number>> = { off: 0, mappings: WANT_MAPPINGS, flows: WANT_FLOWS, blocks: WANT_BLOCKS }

/** Milliseconds between two complaints about lost lines. */
const COMPLAINT_PAUSE = 10_000

/** The binding that a record tells of; null when it tells of none that is to be logged. */
export const readBinding = (words: Int32Array, { bindings, destinations }: BindingLogSettings): Binding | null => {
  const type = words[RECORD_TYPE]!
  if (bindings === 'blocks') {
    if (type !== EVENT_BLOCK_BEGIN && type !== EVENT_BLOCK_END) return null
    const ports = words[RECORD_SIDES + SIDE_PORTS]!
    return {
      event: type === EVENT_BLOCK_BEGIN ? 'create' : 'delete',
      kind: 'block',
      insideAddress: formatIpv4(words[RECORD_SIDES + SIDE_SOURCE]!),
      outsideAddress: formatIpv4(words[RECORD_SIDES + SIDE_DESTINATION]!),
      firstPort: ports >>> 16,
      lastPort: ports & 0xffff,
    }
  }
  const isFlow = type === EVENT_NEW || type === EVENT_DESTROY
  const isMapping = type === EVENT_MAPPING_BEGIN || type === EVENT_MAPPING_END
  const fromInside = ((words[RECORD_SIDES + SIDE_META]! >>> 8) & 0xff) === ZONE_INSIDE
  if (bindings === 'flows' ? !isFlow : !isMapping && !(isFlow && fromInside && (words[RECORD_FLAGS]! & FLAG_MAPPED) === 0)) return null

  // Packets of the inside endpoint arrive on one side; those for its outside endpoint on the other.
  const inside = RECORD_SIDES + (fromInside ? 0 : SIDE_WORDS)
  const outside = RECORD_SIDES + (fromInside ? SIDE_WORDS : 0)
  const insideAddress = words[inside + SIDE_SOURCE]!
  const insidePort = words[inside + SIDE_PORTS]! >>> 16
  const outsideAddress = words[outside + SIDE_DESTINATION]!
  const outsidePort = words[outside + SIDE_PORTS]! & 0xffff
  if (insideAddress === outsideAddress && insidePort === outsidePort) return null
  const protocol = words[inside + SIDE_META]! & 0xff
  return {
    event: type === EVENT_NEW || type === EVENT_MAPPING_BEGIN ? 'create' : 'delete',
    kind: isFlow ? 'flow' : 'mapping',
    protocol: protocolName(protocol),
    insideAddress: formatIpv4(insideAddress),
    insidePort,
    outsideAddress: formatIpv4(outsideAddress),
    outsidePort,
    ...(destinations && isFlow ? { remoteAddress: formatIpv4(words[inside + SIDE_DESTINATION]!) } : {}),
    ...(destinations && isFlow && hasPorts(protocol) ? { remotePort: words[inside + SIDE_PORTS]! & 0xffff } : {}),
  }
}

/** `event=create kind=mapping …` */
export const bindingText = (binding: Binding): string => Object.entries(binding).map(([key, value]) => `${key}=${value}`).join(' ')

export class BindingLog implements EventListener {
  readonly wants: number
  readonly #settings: BindingLogSettings
  readonly #hub: EventHub
  readonly #wallTime: (time: number) => number
  readonly #log: Logger
  /** Lines are not the log's to leave out, whatever its level. */
  readonly #lines: Logger
  readonly #syslog: Syslog | null
  readonly #name: string
  #lost = 0
  #complained = { at: -Infinity, lost: 0 }
  /** Lines written, or given to syslog. */
  logged = 0

  /**
   * @param name of the instance
   * @param wallTime milliseconds since 1970 of a time on the data plane's clock
   */
  constructor(name: string, settings: BindingLogSettings, hub: EventHub, log: Logger, wallTime: (time: number) => number) {
    this.wants = WANTS[settings.bindings]
    this.#name = name
    this.#settings = settings
    this.#hub = hub
    this.#wallTime = wallTime
    this.#log = log
    this.#lines = log.child({}, { level: 'info' })
    const target = settings.bindings === 'off' ? null : parseSyslogTarget(settings.syslog)
    this.#syslog = target === null ? null : new Syslog(target, (err) => {
      if (err === null) log.info('the log of bindings reaches syslog again')
      else log.warn({ err, syslog: settings.syslog }, 'the log of bindings does not reach syslog')
    })
  }

  /** Lines that nobody will read. */
  get lost(): number {
    return this.#lost + (this.#syslog?.lost ?? 0)
  }

  /** From now on bindings are logged. */
  start(): void {
    if (this.wants === 0) return
    this.#write({ event: 'reset', kind: 'all' }, Date.now())
    this.#hub.add(this)
  }

  /** Logs what is left. Call it when nothing is forwarded any more. */
  async stop(): Promise<void> {
    if (this.wants === 0) return
    this.#hub.remove(this)
    this.#write({ event: 'reset', kind: 'all' }, Date.now())
    await this.#syslog?.close()
  }

  take({ words, times }: EventConsumer): void {
    const binding = readBinding(words, this.#settings)
    if (binding !== null) this.#write(binding, this.#wallTime(times[RECORD_TIME]!))
  }

  lose(count: number): void {
    this.#lost += count
  }

  rest(): void {
    this.#syslog?.flush()
    const { lost } = this
    const now = Date.now()
    if (lost === this.#complained.lost || now - this.#complained.at < COMPLAINT_PAUSE) return
    this.#log.warn({ lost: lost - this.#complained.lost }, 'lines of the log of bindings were lost')
    this.#complained = { at: now, lost }
  }

  #write(binding: Binding, time: number): void {
    this.logged++
    if (this.#syslog === null) {
      this.#lines.info({ ...binding, at: new Date(time).toISOString() }, 'binding')
      return
    }
    const at = new Date(time).toISOString()
    this.#syslog.send({ time, id: binding.kind, text: `${bindingText(binding)} instance=${this.#name} at=${at}` })
  }
}
