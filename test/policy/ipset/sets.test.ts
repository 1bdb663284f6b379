/** Commands on sets as a whole, and their listing. */
import { beforeEach, describe, expect, it } from 'vitest'
import { ipsetInput } from '../../../src/policy/ipset/index.js'
import { Sets } from './support.js'

let sets: Sets
beforeEach(() => {
  sets = new Sets()
})

describe('create', () => {
  it('makes a set with the options of the kernel, and tells the data plane', () => {
    expect(sets.all('create a hash:ip', 'save')).toBe('create a hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x0000cafe\n')
    expect(sets.edits).toEqual([{
      op: 'create', id: 0,
      definition: { kind: 'hash:ip', timeout: null, counters: false, maxElements: 65536, hashSize: 1024, seed: 0xcafe, mask: -1, forceAdd: false },
    }])
  })

  it('takes all options, in ipset\'s order when saved', () => {
    expect(sets.all('create a hash:ip forceadd netmask 24 timeout 5 counters comment bucketsize 3 hashsize 3000 maxelem 0x10 initval 0x12', 'save'))
      .toBe('create a hash:ip family inet hashsize 4096 maxelem 16 netmask 24 timeout 5 counters comment forceadd bucketsize 4 initval 0x00000012\n')
    expect(sets.all('create b hash:ip,port bitmask 255.255.0.255 family inet', 'save b'))
      .toBe('create b hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x0000cafe bitmask 255.255.0.255\n')
    expect(sets.all('create l list:set size 3 comment', 'save l')).toBe('create l list:set size 4 comment\n')
    expect(sets.all('n d nethash', 'save d')).toContain('create d hash:net ')
  })

  it('with -exist, takes a set that is there with the same options', () => {
    sets.run('create a hash:ip')
    const before = sets.state
    sets.run('create a hash:ip hashsize 64 -exist')
    expect(sets.state).toBe(before)
    expect(sets.error('create -exist a hash:ip timeout 5')).toBe('POLICY_INVALID: there is a set "a" already, of another type or with other options (nothing was changed)')
    expect(sets.error('create a hash:ip')).toBe('POLICY_INVALID: there is a set "a" already (nothing was changed)')
  })

  it('says what is wrong with a word, and which was meant', () => {
    expect(sets.error('create a hash:ipp')).toBe('POLICY_SYNTAX: unknown type of set "hash:ipp" (did you mean "hash:ip"?)')
    expect(sets.error('create a hash:mac')).toMatch(/^POLICY_REFUSED: sets of type hash:mac are not taken/)
    expect(sets.error('create a hash:ip timeot 5')).toBe('POLICY_SYNTAX: unknown option "timeot" (did you mean "timeout"?)')
    expect(sets.error('create a hash:net netmask 24')).toMatch(/unknown option "netmask"/)
    expect(sets.error('create a hash:ip timeout')).toMatch(/"timeout" needs a value/)
    expect(sets.error('create a hash:ip timeout 2147484')).toMatch(/timeout: 2147484 is out of range/)
    expect(sets.error('create a hash:ip netmask 24 bitmask 255.0.0.0')).toMatch(/exclude each other/)
    expect(sets.error('create a hash:ip family inet6')).toMatch(/^POLICY_REFUSED: sets of IPv6 addresses are not taken/)
    expect(sets.error('create a hash:ip skbinfo')).toMatch(/^POLICY_REFUSED: "skbinfo" is not taken/)
    expect(sets.error('create a hash:ip timeout 5 timeout 6')).toMatch(/"timeout" stands twice/)
    expect(sets.error(`create ${'x'.repeat(32)} hash:ip`)).toMatch(/too long for a set's name/)
    expect(sets.error('create a')).toMatch(/"create" needs 2 arguments/)
  })

  it('makes at most 256 sets, and gives free numbers out again', () => {
    for (let count = 0; count < 256; count++) sets.run(`create s${count} hash:ip`)
    expect(sets.error('create more hash:ip')).toMatch(/there are 256 sets/)
    sets.run('destroy s7')
    sets.edits = []
    sets.run('create more hash:ip')
    expect(sets.edits).toMatchObject([{ op: 'create', id: 7 }])
  })
})

describe('a listing', () => {
  it('has the layout of ipset 7', () => {
    sets.all('create a hash:ip timeout 300 counters comment', 'create l list:set', 'add l a', 'add a 1.2.3.4 comment "hi there" packets 3 bytes 9')
    sets.now += 1500
    expect(sets.run('list').output).toBe(`Name: a
Type: hash:ip
Revision: 6
Header: family inet hashsize 1024 maxelem 65536 timeout 300 counters comment bucketsize 12 initval 0x0000cafe
Size in memory: 4128
References: 1
Number of entries: 1
Members:
1.2.3.4 timeout 298 packets 3 bytes 9 comment "hi there"

Name: l
Type: list:set
Revision: 3
Header: size 8
Size in memory: 32
References: 0
Number of entries: 1
Members:
a
`)
    expect(sets.run('list -n').output).toBe('a\nl\n')
    expect(sets.run('-t list l').output).toBe('Name: l\nType: list:set\nRevision: 3\nHeader: size 8\nSize in memory: 32\nReferences: 0\nNumber of entries: 1\n')
    expect(sets.run('list a -o save').output).toBe(sets.run('save a').output)
  })

  it('counts timeouts down, the last second as one, and leaves out what has expired', () => {
    sets.all('create a hash:ip timeout 3', 'add a 1.1.1.1', 'add a 1.1.1.2 timeout 0', 'add a 1.1.1.3 timeout 9')
    sets.now += 2500
    expect(sets.elements('a')).toEqual(['1.1.1.1 timeout 1', '1.1.1.2 timeout 0', '1.1.1.3 timeout 6'])
    sets.now += 500
    expect(sets.elements('a')).toEqual(['1.1.1.2 timeout 0', '1.1.1.3 timeout 6'])
    expect(sets.run('list a').output).toContain('Number of entries: 2\n')
  })

  it('is in the order of addresses with -sorted', () => {
    sets.all('create a hash:net', 'add a 10.0.0.0/8', 'add a 9.0.0.0/24', 'add a 9.0.0.0/16', 'add a 200.0.0.0/8')
    expect(sets.run('save a -sorted').output.split('\n').slice(1, -1)).toEqual(['add a 9.0.0.0/16', 'add a 9.0.0.0/24', 'add a 10.0.0.0/8', 'add a 200.0.0.0/8'])
  })

  it('goes to a file that is named', () => {
    sets.run('create a hash:ip')
    expect(sets.run('save -f /tmp/sets').file).toBe('/tmp/sets')
    expect(ipsetInput(['restore', '-file', 'sets'])).toEqual({ reads: true, file: 'sets' })
    expect(ipsetInput(['restore'])).toEqual({ reads: true, file: null })
    expect(ipsetInput(['save', '-f', 'sets'])).toEqual({ reads: false, file: null })
  })
})

describe('destroy, flush, rename, swap', () => {
  it('leave sets alone that rules or lists name', () => {
    sets.all('create a hash:ip', 'create l list:set', 'add l a')
    expect(sets.error('destroy a')).toBe('POLICY_INVALID: set "a" cannot be destroyed: it is named by 1 rule or list (nothing was changed)')
    expect(sets.error('rename a b')).toMatch(/cannot be renamed/)
    expect(sets.error('destroy')).toMatch(/set "a" cannot be destroyed/)
    sets.references.set('l', 2)
    expect(sets.error('destroy l')).toMatch(/named by 2 rules and lists/)
    sets.references.clear()
    sets.all('destroy l', 'destroy')
    expect(sets.run('list -n').output).toBe('')
  })

  it('flush one set, or all', () => {
    sets.all('create a hash:ip', 'create b hash:ip', 'add a 1.1.1.1', 'add b 1.1.1.1', 'flush a')
    expect([sets.elements('a'), sets.elements('b')]).toEqual([[], ['1.1.1.1']])
    sets.run('flush')
    expect(sets.elements('b')).toEqual([])
  })

  it('swap what sets hold, under their names and numbers', () => {
    sets.all('create a hash:ip timeout 5', 'create b hash:ip', 'create c hash:net', 'add b 1.1.1.1', 'swap a b')
    expect(sets.elements('a')).toEqual(['1.1.1.1'])
    expect(sets.edits.at(-1)).toEqual({ op: 'swap', first: 0, second: 1 })
    expect(sets.run('list -n').output).toBe('a\nb\nc\n')
    expect(sets.error('swap a c')).toBe('POLICY_INVALID: set "a" is of type hash:ip, "c" of type hash:net (both must be of one type)')
    sets.edits = []
    sets.run('swap a a')
    expect(sets.edits).toEqual([])
  })

  it('rename a set without the data plane', () => {
    sets.all('create a hash:ip', 'create b hash:ip', 'add a 1.1.1.1')
    sets.edits = []
    sets.run('e a q')
    expect(sets.elements('q')).toEqual(['1.1.1.1'])
    expect(sets.edits).toEqual([])
    expect(sets.error('rename q b')).toMatch(/there is a set "b" already/)
    expect(sets.error('flush qq')).toBe('POLICY_SYNTAX: unknown set "qq" (did you mean "q"?)')
  })
})

describe('words of the command', () => {
  it('may be short, old, or shortened', () => {
    sets.all('-N a hash:ip', 'ad a 1.1.1.1', '--add a 1.1.1.2', '-D a 1.1.1.1')
    expect(sets.run('s').output).toBe(sets.run('-S').output)
    expect(sets.run('l a').output).toBe(sets.run('-L a').output)
    expect(sets.error('foo')).toMatch(/^POLICY_SYNTAX: unknown command "foo"/)
    expect(sets.error('')).toMatch(/no command is given/)
    expect(sets.error('list a b')).toMatch(/"b" is one argument too many for "list"/)
    expect(sets.error('list -o xml')).toMatch(/^POLICY_REFUSED: sets are not printed as XML/)
    expect(sets.error('list -o jason')).toMatch(/unknown format "jason"/)
    expect(sets.error('list -o')).toMatch(/"-o" needs a value/)
    expect(sets.error('list -r')).toMatch(/^POLICY_REFUSED: "-r" is not taken/)
  })

  it('version and help answer', () => {
    expect(sets.run('version').output).toMatch(/^ipset v7\.\d+ .*protocol version: 7\n$/)
    expect(sets.run('help').output).toMatch(/^Usage: tsnat ipset/)
  })
})
