-- The token of a lock held elsewhere is the least that is accepted from now on.
if hold and hold.elsewhere and hold.token ~= lock.token then
  lock.token, lock.kept, lock.needed = hold.token, ms + tonumber(ARGV[hold_at + 3]), true
  changed = true
end
