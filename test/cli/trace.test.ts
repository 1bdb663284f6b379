import { describe, expect, it } from 'vitest'
import { ExitCode, TsnatError } from '../../src/errors.js'
import { exampleTrace } from '../api/gateway-double.js'
import { serveGateway } from './gateway.js'
import { tsnat } from './harness.js'

const served = serveGateway()

const HEAD = 'tun0  10.77.0.2:40000 > 198.51.100.10:443 tcp SYN, length 44, TTL 64, TOS 0x00\n'
const TEXT = `${HEAD}  FORWARD\n    filter\n      - FORWARD 1: -p udp -j ACCEPT   [not: -p udp]\n      = FORWARD policy ACCEPT\n  dropped: no-route: no route to the destination\n`

describe('tsnat trace', () => {
  it('asks what would become of the packet that its options describe', async () => {
    const { code, out, err } = await tsnat('trace', '-i', 'tun0', '--src', '10.77.0.2', '-d', '198.51.100.10', '-p', 'tcp', '--dport', '443', '--tcp-flags', 'SYN,ACK', '--ttl', '9', '--tos', '16', '--mark', '0x7', '--length', '100', '--new')
    expect({ code, out, err }).toEqual({ code: ExitCode.ok, out: TEXT, err: '' })
    expect(served.gateway.questions).toMatchObject([{ interface: 'tun0', mark: 7, isNew: true, packet: { destinationPort: 443, tcpFlags: 18, ttl: 9, tos: 16, length: 100 } }])
  })

  it('leaves out what did not match, or prints JSON', async () => {
    const words = ['-s', '10.77.0.2', '-d', '198.51.100.10', '--dport', '443']
    expect((await tsnat('trace', '--brief', ...words)).out).toBe(`${HEAD}  dropped: no-route: no route to the destination\n`)
    expect(JSON.parse((await tsnat('trace', '--json', ...words)).out)).toEqual(exampleTrace())
  })

  it('says what is wrong, in the words of its options', async () => {
    const { code, err } = await tsnat('trace', '-s', '10.77.0.2', '-d', '198.51.100.10', '-p', 'tcp')
    expect(code).toBe(ExitCode.usage)
    expect(err).toContain('tsnat: the packet needs --dport\n')
    expect((await tsnat('trace', '--live', '--ttl', '4')).err).toContain('"--ttl" means nothing here')
    expect((await tsnat('trace', '-s', '10.77.0.2', '-d', '198.51.100.10', '-c', '4')).err).toContain('"--count" means nothing here')
    expect(served.gateway.questions).toEqual([])
  })

  it('--live prints packets as they pass until Ctrl-C, then how many', async () => {
    served.gateway.traced = [[exampleTrace()], [{ type: 'missed', count: 7 }, exampleTrace()]]
    const running = tsnat('trace', '--live', '-s', '10.77.0.0/24', '-p', 'tcp')
    await expect.poll(() => served.gateway.liveTraces).toMatchObject([{ request: { interface: null, count: 0, filter: { protocol: 6, source: { mask: -256 } } } }])
    process.emit('SIGINT')
    const { code, out, err } = await running
    expect(code).toBe(ExitCode.ok)
    expect(out).toBe(`09:30:09.016  ${TEXT}\n09:30:09.016  ${TEXT}\n`)
    expect(err).toBe('2 packets traced, 7 missed\n')
    await expect.poll(() => served.gateway.liveTraces).toMatchObject([{ ended: true }])
  })

  it('--live --json prints an object a packet, and ends with the count', async () => {
    served.gateway.traced = [[exampleTrace(), { type: 'missed', count: 7 }]]
    const { out, err } = await tsnat('trace', '--live', '--json', '-c', '1')
    expect(out.trimEnd().split('\n').map((line): unknown => JSON.parse(line))).toEqual(served.gateway.traced[0])
    expect(err).toBe('')
  })

  it('--live tells a refusal', async () => {
    served.gateway.broken = new TsnatError('another live trace is running on this gateway', { code: 'ALREADY_TRACING', hint: 'end it first', exitCode: ExitCode.failure })
    const { code, err } = await tsnat('trace', '--live')
    expect({ code, err }).toEqual({ code: ExitCode.failure, err: 'tsnat: another live trace is running on this gateway\n  hint: end it first\n' })
  })
})
