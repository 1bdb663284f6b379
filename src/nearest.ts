/** "Did you mean": which of some words somebody may have meant. */

/** Edits (insert, delete, replace, swap neighbours) that turn one word into another. */
const distance = (a: string, b: string): number => {
  const rows = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0))
  for (let i = 0; i <= a.length; i++) rows[i]![0] = i
  for (let j = 0; j <= b.length; j++) rows[0]![j] = j
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let best = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, replaced)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, rows[i - 2]![j - 2]! + 1)
      rows[i]![j] = best
    }
  }
  return rows[a.length]![b.length]!
}

/** Case and the way of joining words do not count: `wan-driver` is `wanDriver`. */
const plain = (word: string): string => word.replaceAll(/[-_]/g, '').toLowerCase()

/** The one of `words` that is most like `word`; undefined when none is like it (more than a third differs). */
export const nearest = (word: string, words: readonly string[]): string | undefined => {
  const ranked = words.map((one) => ({ one, edits: distance(plain(word), plain(one)) })).sort((a, b) => a.edits - b.edits)
  const first = ranked[0]
  return first !== undefined && first.edits <= Math.max(1, Math.floor(first.one.length / 3)) ? first.one : undefined
}
