"""The cell types: a file each, named as `type` in conf/cell, with a layer of the same name in capitals."""
