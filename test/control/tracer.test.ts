import { describe, expect, it } from 'vitest'
import { readLiveTrace, readQuestion } from '../../src/api/trace-request.js'
import type { TraceLine } from '../../src/api/trace-types.js'
import { Tracer } from '../../src/control/tracer.js'
import { initialState } from '../../src/policy/iproute/index.js'
import { emptyRuleset } from '../../src/policy/iptables/index.js'
import type { Trace } from '../../src/trace/steps.js'
import type { ToWorker } from '../../src/worker-protocol.js'

const question = (words: object = {}) => readQuestion({ src: '10.77.0.2', dst: '198.51.100.10', dport: '80', ...words })
const trace = (time: number): Trace => ({ time, steps: [{ step: 'no-flow' }, { step: 'drop', code: 1 }] })

const open = () => {
  const sent: ToWorker[] = []
  const tracer = new Tracer({
    send: (message) => sent.push(message),
    interfaces: ['tun0', 'eth0', 'eth1'],
    wording: () => ({ ruleset: emptyRuleset(), ip: initialState([]), timeouts: new Int32Array(32), wallTime: (time) => time + 1000 }),
  })
  return { tracer, sent }
}
const collect = async (lines: AsyncIterable<TraceLine[]>): Promise<TraceLine[][]> => {
  const batches: TraceLine[][] = []
  for await (const batch of lines) batches.push(batch)
  return batches
}
const refusal = (promise: Promise<unknown>) => promise.then(() => null, (error: unknown) => error)

describe('questions', () => {
  it('are answered by the data plane, whichever comes first', async () => {
    const { tracer, sent } = open()
    const first = tracer.ask(question({ mark: '7', new: '' }))
    const second = tracer.ask(question({ interface: 'eth1' }))
    expect(sent).toMatchObject([{ type: 'trace', id: 1, zone: 0, mark: 7, isNew: true }, { type: 'trace', id: 2, zone: 2, mark: 0, isNew: false }])
    tracer.answered(2, trace(20))
    tracer.answered(1, trace(10))
    expect([(await first).time, (await second).time]).toEqual([1010, 1020])
    expect(await first).toMatchObject({ type: 'packet', result: 'dropped', reason: 'short' })
  })

  it('take lan and wan for names', async () => {
    const { tracer, sent } = open()
    void tracer.ask(question({ interface: 'lan' }))
    void tracer.ask(question({ interface: 'wan' }))
    expect(sent).toMatchObject([{ zone: 0 }, { zone: 1 }])
    expect(await refusal(tracer.ask(question({ interface: 'eth9' })))).toMatchObject({ code: 'UNKNOWN_INTERFACE', hint: 'it has tun0, eth0, eth1' })
  })

  it('end with the gateway', async () => {
    const { tracer } = open()
    const asked = refusal(tracer.ask(question()))
    tracer.close()
    expect(await asked).toMatchObject({ code: 'STOPPING' })
    expect(await refusal(tracer.ask(question()))).toMatchObject({ code: 'STOPPING' })
  })
})

describe('packets that pass', () => {
  it('come as they are traced, until the count is reached', async () => {
    const { tracer, sent } = open()
    const lines = collect(tracer.follow(readLiveTrace({ protocol: 'udp', count: '3', interface: 'eth0' }), new AbortController().signal))
    expect(sent).toMatchObject([{ type: 'trace-live', request: { count: 3, filter: { zone: 1, protocol: 17 } } }])
    tracer.passed({ traces: [trace(1)], missed: 2 })
    tracer.passed({ traces: [trace(2), trace(3), trace(4)], missed: 0 })
    expect((await lines).flat().map((line) => (line.type === 'missed' ? line.count : line.time))).toEqual([1001, 1002, 1003, 2])
    expect(sent.at(-1)).toEqual({ type: 'trace-live', request: null })
  })

  it('come until the reader goes; what came before is told', async () => {
    const { tracer, sent } = open()
    const abort = new AbortController()
    const lines = collect(tracer.follow(readLiveTrace({}), abort.signal))
    tracer.passed({ traces: [trace(1)], missed: 0 })
    abort.abort()
    expect((await lines).flat()).toHaveLength(1)
    expect(sent).toHaveLength(2)
    // Those under way when it ended.
    tracer.passed({ traces: [trace(1)], missed: 0 })
  })

  it('have one reader at a time', async () => {
    const { tracer } = open()
    const abort = new AbortController()
    const lines = collect(tracer.follow(readLiveTrace({}), abort.signal))
    expect(await refusal(collect(tracer.follow(readLiveTrace({}), abort.signal)))).toMatchObject({ code: 'ALREADY_TRACING' })
    abort.abort()
    await lines
    expect(await collect(tracer.follow(readLiveTrace({}), AbortSignal.abort()))).toEqual([[]])
  })

  it('are missed by who reads too slowly, who is told how many', async () => {
    const { tracer } = open()
    const abort = new AbortController()
    const lines = tracer.follow(readLiveTrace({}), abort.signal)
    await lines.next()
    for (let n = 0; n < 4100; n++) tracer.passed({ traces: [trace(n)], missed: 0 })
    const { value } = await lines.next()
    expect(value).toHaveLength(4097)
    expect((value as TraceLine[]).at(-1)).toEqual({ type: 'missed', count: 4 })
    abort.abort()
    await lines.return(undefined)
  })
})
