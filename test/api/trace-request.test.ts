import { describe, expect, it } from 'vitest'
import { readLiveTrace, readQuestion, traceQuery, type TraceWords } from '../../src/api/trace-request.js'
import { TsnatError } from '../../src/errors.js'
import { parseIpv4 } from '../../src/stack/wire/address.js'

const ENDS = { src: '10.77.0.2', dst: '198.51.100.10' }
const failure = (run: () => unknown): { code: string; exitCode: number; text: string } => {
  try {
    run()
  } catch (error) {
    if (error instanceof TsnatError) return { code: error.code, exitCode: error.exitCode, text: `${error.message}; ${error.hint}` }
  }
  throw new Error('nothing was refused')
}

describe('the description of a packet', () => {
  it('takes what is not said from a usual packet', () => {
    expect(readQuestion({ ...ENDS, dport: '443', mark: '0x2333', interface: 'tun0', new: '' })).toEqual({
      interface: 'tun0', mark: 0x2333, isNew: true,
      packet: {
        source: parseIpv4('10.77.0.2'), destination: parseIpv4('198.51.100.10'), protocol: 6, sourcePort: 40000, destinationPort: 443, tcpFlags: 2, icmpType: 8,
        icmpCode: 0, length: null, ttl: 64, tos: 0,
      },
    })
    expect(readQuestion(ENDS)).toMatchObject({ interface: null, isNew: false, packet: { protocol: 1, icmpType: 8 } })
    expect(readQuestion({ ...ENDS, protocol: 'tcp', dport: '1', flags: 'NONE' }).packet.tcpFlags).toBe(0)
  })

  it.each<[TraceWords, string]>([
    [{ dst: '10.0.0.1' }, 'the packet needs --src'],
    [{ ...ENDS, protocol: 'tcp' }, 'the packet needs --dport'],
    [{ ...ENDS, dport: '65536' }, '--dport: "65536" is not a number from 0 to 65535'],
    [{ ...ENDS, src: '10.0.0.0/8' }, '--src: "10.0.0.0/8" is not an IPv4 address'],
    [{ ...ENDS, protocol: 'tpc' }, '--protocol: "tpc" is not a protocol'],
    [{ ...ENDS, flags: 'SYN,FOO', dport: '1' }, '--flags: "FOO" is not a TCP flag'],
    [{ ...ENDS, icmpType: 'echo-requst' }, 'did you mean "echo-request"?'],
    [{ ...ENDS, icmpType: 'port-unreachable' }, 'cannot be described'],
    [{ ...ENDS, protocol: 'udp', dport: '53', flags: 'SYN' }, '--flags is about TCP only'],
    [{ ...ENDS, protocol: 'icmp', dport: '53' }, '--dport is about TCP, UDP, UDP-Lite and SCTP only'],
    [{ ...ENDS, dport: '53', length: '43' }, '--length: "43" is not a number from 44 to 65535'],
    [{ ...ENDS, count: '4' }, '"--count" means nothing here; known: --interface, --src'],
  ])('says what is wrong with %j', (words, text) => {
    const refused = failure(() => readQuestion(words, (word) => `--${word}`))
    expect(refused).toMatchObject({ code: 'BAD_TRACE', exitCode: 64 })
    expect(refused.text).toContain(text)
  })
})

describe('a filter of packets that pass', () => {
  it('takes networks, ports, protocols and a count', () => {
    expect(readLiveTrace({})).toEqual({
      interface: null, count: 0, filter: { protocol: null, source: null, destination: null, sourcePort: null, destinationPort: null, icmpType: null },
    })
    expect(readLiveTrace({ src: '10.77.0.9/24', dst: '198.51.100.10', dport: '53', protocol: 'udp', count: '10', interface: 'wan' })).toEqual({
      interface: 'wan', count: 10,
      filter: {
        protocol: 17, source: { address: parseIpv4('10.77.0.0'), mask: -256 }, destination: { address: parseIpv4('198.51.100.10'), mask: -1 },
        sourcePort: null, destinationPort: 53, icmpType: null,
      },
    })
    expect(readLiveTrace({ icmpType: '3/4' }).filter).toMatchObject({ protocol: 1, icmpType: 3 })
  })

  it('says what is wrong', () => {
    expect(failure(() => readLiveTrace({ src: '10.77.0.0/33' })).text).toContain('src: "10.77.0.0/33" is not an IPv4 address or prefix')
    expect(failure(() => readLiveTrace({ ttl: '3' })).text).toContain('"ttl" means nothing here')
  })

  it('goes through a URL', () => {
    const words = { src: '10.77.0.0/24', dport: '53' }
    expect(Object.fromEntries(new URLSearchParams(traceQuery(words)))).toEqual({ src: '10.77.0.0/24', dport: '53' })
  })
})
