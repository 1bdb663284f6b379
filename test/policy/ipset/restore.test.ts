import { beforeEach, describe, expect, it } from 'vitest'
import { Sets } from './support.js'

let sets: Sets
beforeEach(() => {
  sets = new Sets()
})

describe('restore', () => {
  it('carries out what save printed; saved again, it is the same', () => {
    const saved = sets.all(
      'create n hash:net timeout 600 counters comment forceadd', 'add n 10.0.0.0/8 nomatch packets 5 bytes 6 comment "two words # x"', 'add n 10.1.0.0/16 timeout 0',
      'create i hash:net,iface', 'add i 0.0.0.0/0,eth wildcard', 'add i 1.2.3.4,physdev:eth1 nomatch', 'create p hash:ip,port netmask 24 initval 7',
      'add p 1.2.3.4,icmp:8/0', 'create l list:set comment', 'add l p comment first', 'add l n before p', 'save',
    )
    const other = new Sets()
    expect(other.run('restore', saved)).toMatchObject({ output: '', exitCode: 0 })
    expect(other.run('save').output).toBe(saved)
  })

  it('passes over empty lines, comments and COMMIT, and takes old words', () => {
    sets.run('restore', '# sets\n\n  create a hash:ip  \r\n\t-A a 1.1.1.1\nadd a 1.1.1.1 -exist\nadd -! a 1.1.1.1\nCOMMIT\n')
    expect(sets.elements('a')).toEqual(['1.1.1.1'])
  })

  it('with -exist, takes all lines so', () => {
    const file = 'create a hash:ip\nadd a 1.1.1.1\nadd a 1.1.1.1\n'
    expect(sets.error('restore', file)).toBe('POLICY_INVALID: rules.ipset line 3, column 7: 1.1.1.1 is in set "a" already (with -exist it is no error)')
    expect(sets.run('list -n').output).toBe('')
    sets.run('restore -exist', file)
    sets.run('-exist restore', file)
    expect(sets.elements('a')).toEqual(['1.1.1.1'])
  })

  it('changes nothing when one line is wrong, and says where', () => {
    sets.run('create old hash:ip')
    const wrong = (line: string): string => sets.error('restore', `create a hash:ip comment\nadd a 1.1.1.1\n${line}\n`)
    expect(wrong('ad a 1.1.1.x')).toMatch(/^POLICY_SYNTAX: rules\.ipset line 3, column 6: "1\.1\.1\.x" is no IPv4 address/)
    expect(wrong('  foo a')).toMatch(/line 3, column 3: unknown command "foo"/)
    expect(wrong('add a 1.1.1.2 coment x')).toMatch(/line 3, column 15: unknown option "coment"/)
    expect(wrong('add a 1.1.1.2 comment "x')).toMatch(/line 3, column 23: the quote is never closed/)
    expect(wrong('restore')).toMatch(/^POLICY_REFUSED: rules\.ipset line 3, column 1: "restore" is not taken inside of a file/)
    expect(wrong('save -f x')).toMatch(/a file names no other file/)
    expect(sets.run('list -n').output).toBe('old\n')
    expect(sets.edits).toHaveLength(1)
  })

  it('answers questions between changes', () => {
    expect(sets.run('restore', 'create a hash:ip\ntest a 1.1.1.1\nadd a 1.1.1.1\ntest a 1.1.1.1\nlist a -n\n'))
      .toMatchObject({ output: 'a\n', notice: '1.1.1.1 is NOT in set a.\n1.1.1.1 is in set a.\n' })
  })

  it('copies a set once for many elements, and gives the data plane some hundred at a time', () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => `add a 10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`)
    sets.run('restore', `create a hash:ip\n${lines.join('\n')}\n`)
    expect(sets.elements('a')).toHaveLength(20_000)
    expect(sets.edits).toHaveLength(1 + Math.ceil(20_000 / 512))
  })

  it('swaps a new set in for an old one', () => {
    sets.all('create live hash:net', 'add live 10.0.0.0/8')
    sets.run('restore', 'create new hash:net\nadd new 11.0.0.0/8\nswap new live\ndestroy new\n')
    expect(sets.elements('live')).toEqual(['11.0.0.0/8'])
    expect(sets.edits.slice(-2)).toEqual([{ op: 'swap', first: 1, second: 0 }, { op: 'destroy', id: 1 }])
  })
})
