-- What was shared by sessions long gone is not for the one that begins.
if settle_owner() then
  put_owner()
end
