-- Without `ticket`'s lease or claim, or its place in the queue; whether there was one.
local function leave(ticket)
  if lock.ticket == ticket then
    if lock.lease ~= CLAIM then
      lock.released = ticket
    end
    hand_over()
    return true
  end
  for index, waiter in ipairs(lock.queue) do
    if waiter[TICKET] == ticket then
      table.remove(lock.queue, index)
      return true
    end
  end
  return false
end
