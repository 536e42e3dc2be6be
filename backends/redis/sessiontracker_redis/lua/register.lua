-- The token of a lock held elsewhere is the least that is accepted from now on.
if hold == 'elsewhere' and hold_token ~= lock.token then
  lock.token, lock.kept, lock.needed = hold_token, ms + tonumber(ARGV[hold_at + 3]), true
  changed = true
end
