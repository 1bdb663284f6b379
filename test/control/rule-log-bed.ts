/** Rules, the ring that what they log goes through, and the writer at its end, without a gateway around them. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { RuleLogWriter } from '../../src/control/rule-log.js'
import { createLogRing, LOG_RING_MIN, RuleLog } from '../../src/hooks/log-ring.js'
import type { PacketMeta } from '../../src/policy/engine/packet-meta.js'
import { HOOK_NAMES, type HookName } from '../../src/policy/model.js'
import { Bed, packetOf } from '../policy/engine/support.js'
import { parsed } from '../stack/support.js'

/** Milliseconds since 1970 of 0 on the data plane's clock. */
export const EPOCH = Date.UTC(2026, 10, 20)

export interface LogBedOptions {
  readonly level?: string
  readonly directory?: string
  readonly fileBytes?: number
  readonly files?: number
  readonly ringBytes?: number
}

export interface Line {
  readonly level: number
  readonly msg: string
  readonly packet?: Readonly<Record<string, unknown>>
  readonly lost?: number
}

/** A directory that is gone after the test. */
export const temporaryDirectory = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'tsnat-log-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export class LogBed {
  readonly rules: Bed
  readonly writer: RuleLogWriter
  readonly lines: Line[] = []
  /** Milliseconds on the data plane's clock. */
  now = 1000.25
  readonly #log: RuleLog

  constructor(rules: string, { level = 'trace', directory, fileBytes = 1 << 20, files = 3, ringBytes = LOG_RING_MIN }: LogBedOptions = {}) {
    const ring = createLogRing(ringBytes)
    this.rules = new Bed(rules)
    this.#log = new RuleLog(ring, (clock) => (clock[0] = this.now))
    this.writer = new RuleLogWriter({
      ring, ruleset: () => this.rules.ruleset, interfaces: ['', 'lo', 'tun0', 'eth0'], wallTime: (time) => EPOCH + Math.round(time), name: 'lab',
      log: pino({ level, base: null, timestamp: false }, { write: (line: string) => void this.lines.push(JSON.parse(line) as Line) }),
      nflog: { directory, fileBytes, files },
    })
  }

  /** A packet passes a hook. */
  pass(bytes: Uint8Array, hook: HookName = 'FORWARD', change: Partial<PacketMeta> = {}): void {
    const { slab, packet } = parsed(bytes)
    const { source, destination, protocol, length, ttl, tcpFlags } = packet
    const meta = packetOf({
      source, destination, protocol, length, ttl, tcpFlags, tos: bytes[1]!, sourcePort: packet.ports >>> 16, destinationPort: packet.ports & 0xffff,
      inInterface: hook === 'OUTPUT' ? 0 : 2, outInterface: hook === 'PREROUTING' || hook === 'INPUT' ? 0 : 3, ...change,
    })
    const outcome = this.rules.run(hook, meta)
    if (outcome.logCount > 0) this.#log.write(outcome, this.rules.compiled, HOOK_NAMES.indexOf(hook), slab, packet, meta)
  }
}
