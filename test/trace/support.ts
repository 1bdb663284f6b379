/** A recorder beside real rules, and a way to put what it noted into words. */
import { PassThrough } from 'node:stream'
import type { TraceRecord } from '../../src/api/trace-types.js'
import { traceText } from '../../src/cli/trace-text.js'
import { traceRecord, type TraceWording } from '../../src/control/trace-words.js'
import { allocateFlowTable, FlowTable } from '../../src/nat/flow-table.js'
import { initialState, lookupIn, runIp } from '../../src/policy/iproute/index.js'
import type { IpState } from '../../src/policy/iproute/index.js'
import { RouteResult } from '../../src/route/lookup.js'
import { RouteKey } from '../../src/route/types.js'
import { Recorder } from '../../src/trace/recorder.js'
import { Bed, ip, TestEnvironment } from '../policy/engine/support.js'

/** Room of a packet in the slab for what stands before it. */
export const AT = 64

/** lo, tun0 with 10.77.0.1/24, eth0 with 203.0.113.1/24, eth1 with 198.51.100.1/24. */
const devices = [['lo', '127.0.0.1'], ['tun0', '10.77.0.1'], ['eth0', '203.0.113.1'], ['eth1', '198.51.100.1']].map(([name = '', address = ''], index) =>
  ({ number: index + 1, name, up: true, addresses: [{ address: ip(address), prefixLength: index === 0 ? 8 : 24, primary: true }] }))

export class TraceBed {
  readonly bed: Bed
  readonly table = new FlowTable(allocateFlowTable(64), 1)
  readonly recorder: Recorder
  readonly #result = new RouteResult()
  ip: IpState = initialState(devices)

  constructor(rules: string, unmetMax?: number) {
    const environment = new TestEnvironment()
    for (const { name } of devices) environment.interfaces.numberOf(name)
    this.bed = new Bed(rules, environment)
    this.recorder = new Recorder({ ruleset: this.bed.compiled, table: this.table, now: 5000 }, unmetMax)
    this.bed.evaluator.recorder = this.recorder
  }

  /** Words of `ip`, one command a line. */
  words(...lines: string[]): void {
    for (const line of lines) this.ip = runIp(this.ip, line.split(' ')).state
  }

  /** Looks the way up as the data plane does. */
  route(change: Partial<RouteKey>): void {
    const key = Object.assign(new RouteKey(), { input: 2 }, change)
    lookupIn(this.ip).lookup(key, this.#result, this.recorder.looked)
    this.recorder.routed(key, this.#result)
  }

  /** A packet begins, as if it lay in the slab. */
  begin(bytes: Uint8Array, zone = 0, mark = 0): DataView {
    const slab = new Uint8Array(AT + bytes.length)
    slab.set(bytes, AT)
    const view = new DataView(slab.buffer)
    this.recorder.begin(view, AT, bytes.length, zone, mark)
    return view
  }

  get wording(): TraceWording {
    return {
      ruleset: this.bed.ruleset, ip: this.ip, interfaceName: (zone) => ['tun0', 'eth0', 'eth1'][zone]!, timeouts: new Int32Array(32).fill(100),
      wallTime: (time) => time + 1_000_000_000_000,
    }
  }

  record(): TraceRecord {
    return traceRecord(this.recorder.take(), this.wording)
  }
}

export const textOf = (record: TraceRecord, brief = false): string => traceText(record, { brief, timed: false }, new PassThrough())
