import { describe, expect, it } from 'vitest'
import { filterQuery, flowMatcher, readFlowFilter } from '../../src/api/filter.js'
import type { FlowFilter } from '../../src/api/types.js'
import { icmpFlow, tcpFlow, udpFlow } from './gateway-double.js'

const flows = [tcpFlow(), udpFlow(), icmpFlow()]
const matching = (filter: FlowFilter): string[] => flows.filter(flowMatcher(filter)).map(({ protocol }) => protocol)

describe('flowMatcher', () => {
  it.each<[FlowFilter, string[]]>([
    [{}, ['tcp', 'udp', 'icmp']],
    [{ protocol: 'udp' }, ['udp']],
    [{ origSrc: '10.0.0.2/32' }, ['tcp', 'udp', 'icmp']],
    [{ origSrc: '10.0.0.77/24' }, ['tcp', 'udp', 'icmp']],
    [{ origSrc: '10.0.1.0/24' }, []],
    [{ origDst: '0.0.0.0/0' }, ['tcp', 'udp', 'icmp']],
    [{ origDst: '198.51.100.10/32', origPortDst: 5353 }, ['udp']],
    [{ origPortSrc: 50594 }, ['tcp']],
    [{ replySrc: '198.51.100.10/32', replyPortSrc: 8080 }, ['tcp']],
    [{ replyDst: '198.51.100.1/32', replyPortDst: 41169 }, ['udp']],
    [{ replyDst: '198.51.100.2/32' }, []],
    [{ state: 'ESTABLISHED' }, ['tcp']],
    [{ state: 'TIME_WAIT' }, []],
    [{ mark: 0 }, ['tcp', 'udp', 'icmp']],
    [{ mark: 1 }, []],
    [{ srcNat: '0.0.0.0/0' }, ['tcp', 'udp', 'icmp']],
    [{ srcNat: '198.51.100.1/32', protocol: 'icmp' }, ['icmp']],
    [{ srcNat: '198.51.100.2/32' }, []],
  ])('%j', (filter, protocols) => expect(matching(filter)).toEqual(protocols))

  it('takes a flow without translation for no source NAT', () => {
    const plain = { ...udpFlow(), reply: { ...udpFlow().reply, dst: '10.0.0.2' } }
    expect(flowMatcher({ srcNat: '0.0.0.0/0' })(plain)).toBe(false)
    expect(flowMatcher({ srcNat: '0.0.0.0/0' })({ ...plain, reply: { ...plain.reply, dport: 1 } })).toBe(true)
  })
})

describe('readFlowFilter', () => {
  it('reads numbers, names and addresses as conntrack does', () => {
    expect(readFlowFilter({ protocol: 'TCP', origSrc: '10.0.0.2', mark: '0x10', state: 'established', origPortDst: '443', replyDst: undefined })).toEqual({
      protocol: 'tcp',
      origSrc: '10.0.0.2/32',
      mark: 16,
      state: 'ESTABLISHED',
      origPortDst: 443,
    })
    expect(['1', '6', '17'].map((protocol) => readFlowFilter({ protocol }).protocol)).toEqual(['icmp', 'tcp', 'udp'])
  })

  it.each([
    [{ protocol: 'ipx' }, 'protocol: "ipx" is not a protocol'],
    [{ protocol: '256' }, 'protocol: "256" is not a protocol'],
    [{ origSrc: '10.0.0.256' }, 'origSrc: "10.0.0.256" is not an IPv4 address or prefix'],
    [{ origSrc: '10.0.0.0/33' }, 'origSrc: "10.0.0.0/33" is not an IPv4 address or prefix'],
    [{ origPortDst: '65536' }, 'origPortDst: "65536" is not a number from 0 to 65535'],
    [{ origPortDst: 'http' }, 'origPortDst: "http" is not a number'],
    [{ mark: '-1' }, 'mark: "-1" is not a number'],
    [{ state: 'OPEN' }, 'state: "OPEN" is not a state of TCP or SCTP'],
    [{ constructor: 'x' }, '"constructor" is not a filter'],
  ])('refuses %j', (words, message) => expect(() => readFlowFilter(words)).toThrow(message))

  it('survives the way through a URL', () => {
    const filter = readFlowFilter({ protocol: 'tcp', origSrc: '10.0.0.0/24', mark: '7', srcNat: '0.0.0.0/0' })
    expect(readFlowFilter(Object.fromEntries(new URLSearchParams(filterQuery(filter))))).toEqual(filter)
    expect(filterQuery({})).toBe('')
  })
})
