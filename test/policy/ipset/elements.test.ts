/** add, del and test. */
import { beforeEach, describe, expect, it } from 'vitest'
import { Sets } from './support.js'

let sets: Sets
beforeEach(() => {
  sets = new Sets()
})

describe('hash:ip', () => {
  beforeEach(() => {
    sets.run('create a hash:ip')
  })

  it('takes addresses, ranges and networks', () => {
    sets.all('add a 1.2.3.4', 'add a 10.0.0.3-10.0.0.1', 'add a 1.2.3.5/30 -exist', 'add a 172.16.1')
    expect(sets.elements('a')).toEqual(['1.2.3.4', '10.0.0.1', '10.0.0.2', '10.0.0.3', '1.2.3.5', '1.2.3.6', '1.2.3.7', '172.16.0.1'])
    sets.all('del a 1.2.3.4/30')
    expect(sets.elements('a')).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3', '172.16.0.1'])
  })

  it('refuses what is there, what is not there, and what cannot be', () => {
    sets.run('add a 1.2.3.4')
    expect(sets.error('add a 1.2.3.4')).toBe('POLICY_INVALID: 1.2.3.4 is in set "a" already (with -exist it is no error)')
    expect(sets.error('add a 1.2.3.1-1.2.3.9')).toMatch(/1\.2\.3\.4 is in set/)
    expect(sets.elements('a')).toEqual(['1.2.3.4'])
    expect(sets.error('del a 1.2.3.5')).toBe('POLICY_INVALID: 1.2.3.5 is not in set "a" (with -exist it is no error)')
    sets.run('del a 1.2.3.5 -exist')
    expect(sets.error('add a 0.0.0.0')).toMatch(/0\.0\.0\.0 cannot be in a set of this type/)
    expect(sets.error('add a 1.2.3.4/0')).toMatch(/prefix length of 0/)
    expect(sets.error('add a 1.2.3.4/33')).toMatch(/prefix length: 33 is out of range/)
    expect(sets.error('add a ::1')).toBe('POLICY_SYNTAX: "::1" is an IPv6 address (sets are for IPv4)')
    expect(sets.error('add a localhost')).toMatch(/"localhost" is no IPv4 address/)
    expect(sets.error('add a 1.2.3.4,80')).toMatch(/"1\.2\.3\.4,80" has 2 parts/)
    expect(sets.error('add a 1.2.3.4 timeout 5')).toBe('POLICY_INVALID: "timeout" cannot be given: the set was created without "timeout" (nothing was changed)')
    expect(sets.error('add a 1.2.3.4 nomatch')).toMatch(/unknown option "nomatch"/)
    expect(sets.error('add a 1.2.3.4 skbmark 1')).toMatch(/^POLICY_REFUSED: "skbmark"/)
    expect(sets.error('test a 1.2.3.0/24')).toMatch(/a range cannot be tested/)
  })

  it('is full at maxelem; a range that is larger is not even begun', () => {
    sets.all('create b hash:ip maxelem 2', 'add b 1.1.1.1')
    expect(sets.error('add b 1.0.0.0/8')).toMatch(/set "b" is full: 2 elements/)
    expect(sets.error('add b 1.1.1.2-1.1.1.3')).toMatch(/set "b" is full/)
    expect(sets.elements('b')).toEqual(['1.1.1.1'])
  })

  it('takes a large range out by what is there', () => {
    sets.all('add a 10.0.0.1', 'add a 10.255.0.1', 'add a 11.0.0.1', 'del a 10.0.0.0/8 -exist')
    expect(sets.elements('a')).toEqual(['11.0.0.1'])
    expect(sets.error('del a 10.0.0.0/8')).toMatch(/10\.0\.0\.0 is not in set/)
    sets.all('create b hash:ip netmask 16', 'add b 10.1.0.0-10.3.0.0', 'del b 10.2.9.9-10.99.0.0 -exist')
    expect(sets.elements('b')).toEqual(['10.1.0.0'])
    sets.all('create p hash:ip,port', 'add p 10.0.0.1,80-82', 'add p 10.0.0.1,udp:80', 'del p 10.0.0.0/8,81-99 -exist')
    expect(sets.elements('p')).toEqual(['10.0.0.1,tcp:80', '10.0.0.1,udp:80'])
    sets.run('create c hash:ip bitmask 255.0.255.255 maxelem 4294967295 forceadd')
    expect(sets.error('del c 10.0.0.0/8 -exist')).toMatch(/stands for 16777216 elements/)
    expect(sets.error('add c 10.0.0.0/8')).toMatch(/set "c" is full: 8388608 elements/)
    expect(sets.error('add c 10.0.0.0/10')).toMatch(/stands for 4194304 elements/)
  })

  it('makes room for what comes when it has forceadd, or when elements expire', () => {
    sets.all('create b hash:ip maxelem 2 forceadd timeout 5', 'add b 1.1.1.1', 'add b 1.1.1.2', 'add b 1.1.1.3')
    expect(sets.elements('b').map((element) => element.split(' ')[0])).toEqual(['1.1.1.2', '1.1.1.3'])
    sets.now += 5000
    expect(sets.run('list b').output).toContain('Number of entries: 0')
  })

  it('keeps one address of each network with a netmask', () => {
    sets.all('create b hash:ip netmask 24', 'add b 10.0.0.77-10.0.2.1', 'create c hash:ip bitmask 255.0.0.255', 'add c 10.1.2.3')
    expect(sets.elements('b')).toEqual(['10.0.0.0', '10.0.1.0', '10.0.2.0'])
    expect([sets.has('b', '10.0.1.200'), sets.has('b', '10.0.3.1'), sets.has('c', '10.9.9.3')]).toEqual([true, false, true])
  })

  it('answers a test with words and an exit code', () => {
    sets.run('add a 1.2.3.4')
    expect(sets.run('test a 1.2.3.4')).toMatchObject({ notice: '1.2.3.4 is in set a.\n', exitCode: 0 })
    expect(sets.run('test a 1.2.3.5')).toMatchObject({ notice: '1.2.3.5 is NOT in set a.\n', exitCode: 1 })
    expect(sets.run('-q test a 1.2.3.5')).toMatchObject({ notice: '', exitCode: 1 })
  })
})

describe('elements with extensions', () => {
  it('that are added anew get timeout, comment and flags anew, and keep the counters that are not given', () => {
    sets.all('create e hash:net counters comment timeout 100', 'add e 1.2.3.0/24 packets 5 bytes 6 comment hi timeout 50')
    sets.run('add e 1.2.3.0/24 -exist')
    expect(sets.elements('e')).toEqual(['1.2.3.0/24 timeout 100 packets 5 bytes 6'])
    sets.run('-exist add e 1.2.3.0/24 packets 1 nomatch')
    expect(sets.elements('e')).toEqual(['1.2.3.0/24 timeout 100 nomatch packets 1 bytes 6'])
    expect(sets.edits.slice(-2)).toMatchObject([-1, 1].map((packets) => ({
      op: 'add', elements: { packets: [packets], bytes: [-1], milliseconds: [100_000] },
    })))
  })

  it('have comments of one line without quotes', () => {
    sets.all('create a hash:ip comment', 'add a 1.1.1.1 comment -exist', 'add a 1.1.1.2 comment ""', 'add a 1.1.1.3 comment a\\b')
    expect(sets.elements('a')).toEqual(['1.1.1.1 comment "-exist"', '1.1.1.2', '1.1.1.3 comment "a\\b"'])
    expect(sets.error(`add a 1.1.1.4 comment ${'é'.repeat(128)}`)).toMatch(/256 bytes long/)
  })
})

describe('hash:net', () => {
  beforeEach(() => {
    sets.run('create n hash:net')
  })

  it('takes networks, and ranges as few of them', () => {
    sets.all('add n 1.2.3.5/24', 'add n 192.168.0/16', 'add n 10.0.0.1-10.0.0.9')
    expect(sets.elements('n')).toEqual(['1.2.3.0/24', '192.168.0.0/16', '10.0.0.1', '10.0.0.2/31', '10.0.0.4/30', '10.0.0.8/31'])
    sets.run('del n 10.0.0.4-10.0.0.7')
    expect(sets.has('n', '10.0.0.5')).toBe(false)
    sets.all('flush n', 'add n 0.0.0.0-255.255.255.254')
    expect(sets.elements('n')).toHaveLength(32)
    expect(sets.error('add n 0.0.0.0/0')).toMatch(/prefix length of 0/)
    expect(sets.error('add n 0.0.0.0-255.255.255.255')).toMatch(/every address/)
  })

  it('tests hosts against the most specific network, networks against themselves', () => {
    sets.all('add n 10.0.0.0/8', 'add n 10.1.0.0/16 nomatch')
    expect(['10.2.2.2', '10.1.2.2', '10.0.0.0/8', '10.1.0.0/16', '10.2.0.0/16'].map((element) => sets.has('n', element))).toEqual([true, false, true, false, false])
    expect([sets.has('n', '10.1.2.2 nomatch'), sets.has('n', '10.2.2.2 nomatch')]).toEqual([true, false])
  })
})

describe('hash:ip,port', () => {
  beforeEach(() => {
    sets.run('create p hash:ip,port')
  })

  it('takes ports by number, name and range, and what other protocols have', () => {
    sets.all('add p 1.1.1.1,80-82', 'add p 1.1.1.1,udp:domain', 'add p 1.1.1.1,icmp:ping', 'add p 1.1.1.1,icmp:9/9', 'add p 1.1.1.1,vrrp:0', 'add p 1.1.1.1,200:0',
      'add p 1.1.1.1,[ftp-data]', 'add p 1.1.1.1,132:7')
    expect(sets.elements('p').map((text) => text.slice('1.1.1.1,'.length)))
      .toEqual(['tcp:80', 'tcp:81', 'tcp:82', 'udp:53', 'icmp:echo-request', 'icmp:9/9', 'vrrp:0', '200:0', 'tcp:20', 'sctp:7'])
    sets.run('add p 2.2.2.0/31,sctp:5-6')
    expect(sets.elements('p').slice(-4)).toEqual(['2.2.2.0,sctp:5', '2.2.2.0,sctp:6', '2.2.2.1,sctp:5', '2.2.2.1,sctp:6'])
    expect([sets.has('p', '1.1.1.1,tcp:81'), sets.has('p', '1.1.1.1,udp:81')]).toEqual([true, false])
  })

  it('says what is wrong', () => {
    expect(sets.error('add p 1.1.1.1')).toMatch(/lacks a part/)
    expect(sets.error('add p 1.1.1.1,')).toMatch(/lacks a part/)
    expect(sets.error('add p 1.1.1.1,gre:1')).toBe('POLICY_SYNTAX: gre has no ports (gre:0)')
    expect(sets.error('add p 1.1.1.1,tpc:1')).toBe('POLICY_SYNTAX: unknown protocol "tpc" (did you mean "tcp"?)')
    expect(sets.error('add p 1.1.1.1,tcp:70000')).toMatch(/port: 70000 is out of range/)
    expect(sets.error('add p 1.1.1.1,tcp:nope')).toMatch(/"nope" is no port of tcp/)
    expect(sets.error('add p 1.1.1.1,icmp:echo-reqest')).toMatch(/did you mean "echo-request"/)
    expect(sets.error('add p 1.1.1.1,0:0')).toMatch(/protocol: 0 is out of range/)
    expect(sets.error('add p 1.1.1.1,ipv6-icmp:0')).toMatch(/ICMPv6 belongs to IPv6/)
    expect(sets.error('test p 1.1.1.1,80-82')).toMatch(/a range cannot be tested/)
  })
})

describe('hash:net,iface', () => {
  beforeEach(() => {
    sets.run('create i hash:net,iface')
  })

  it('takes networks with interfaces, ports of bridges and beginnings of names', () => {
    sets.all('add i 1.2.3.0/24,eth0', 'add i 0.0.0.0/0,lo', 'add i 1.2.3.4,physdev:eth1 nomatch', 'add i 4.0.0.0/8,eth wildcard')
    expect(sets.elements('i')).toEqual(['1.2.3.0/24,eth0', '0.0.0.0/0,lo', '1.2.3.4,physdev:eth1 nomatch', '4.0.0.0/8,eth wildcard'])
    expect(sets.error('add i 4.0.0.0/8,eth7')).toMatch(/4\.0\.0\.0\/8,eth is in set "i" already/)
    expect([sets.has('i', '4.1.1.1,eth7'), sets.has('i', '9.9.9.9,lo'), sets.has('i', '1.2.3.7,lo'), sets.has('i', '1.2.3.4,physdev:eth1')])
      .toEqual([true, true, false, false])
    sets.run('del i 4.0.0.0/8,eth7')
    expect(sets.elements('i')).toHaveLength(3)
    expect(sets.error('add i 1.1.1.1,abcdefghijklmnopq')).toMatch(/too long for an interface/)
    expect(sets.error('add i 1.1.1.1,e/x')).toMatch(/a character that interfaces do not have/)
    expect(sets.error('add i 1.1.1.1,physdev:')).toMatch(/name of the interface is missing/)
  })

  it('carries names of interfaces to the data plane', () => {
    sets.edits = []
    sets.run('restore', 'add i 1.0.0.0/8,eth0\nadd i 2.0.0.0/8,lo\nadd i 3.0.0.0/8,eth0 wildcard\n')
    expect(sets.edits).toMatchObject([{ op: 'add', elements: { parts: [8, 8 | (1 << 16), 8 | 0x100], interfaces: ['eth0', 'lo'] } }])
  })
})

describe('list:set', () => {
  beforeEach(() => {
    sets.all('create a hash:ip', 'create b hash:net', 'create c hash:ip', 'create l list:set timeout 10', 'add l a', 'add l b before a')
  })

  it('keeps its members in order', () => {
    sets.run('add l c after b timeout 0')
    expect(sets.elements('l')).toEqual(['b timeout 10', 'c timeout 0', 'a timeout 10'])
    expect([sets.has('l', 'c after b'), sets.has('l', 'c before b'), sets.has('l', 'c before a'), sets.has('l', 'a')]).toEqual([true, false, true, true])
    expect(sets.edits.at(-1)).toMatchObject({ op: 'members', id: 3, members: [{ id: 1, milliseconds: 10_000 }, { id: 2, milliseconds: 0 }, { id: 0 }] })
    sets.run('del l c after b')
    sets.now += 10_000
    expect(sets.elements('l')).toEqual([])
    sets.run('destroy a')
  })

  it('takes neither lists nor what is not there', () => {
    sets.run('create m list:set')
    expect(sets.error('add l m')).toMatch(/"m" is a list itself/)
    expect(sets.error('add l nope')).toMatch(/unknown set "nope"/)
    expect(sets.error('add l a')).toMatch(/"a" is in list "l" already/)
    expect(sets.error('add l c before nope')).toMatch(/"nope" is not in list "l"/)
    expect(sets.error('add l c before c')).toMatch(/before or behind itself/)
    expect(sets.error('add l c before a after b')).toMatch(/exclude each other/)
    expect(sets.error('del l c')).toMatch(/"c" is not in list "l"/)
    expect(sets.error('del l b after a')).toMatch(/"b" is not there in list "l"/)
    sets.run('del l c -exist')
  })
})
