#NEXUS
[Param: tree]
begin trees;
   translate
      1 A,
      2 B,
      3 C;
   tree gen.0 = [&R] [&clockrate=4.10] ((1:1,2:1):1,3:2);
   tree gen.1 = [&R] [&clockrate=4.11] ((1:1,2:1):1,3:2);
   tree gen.2 = [&R] [&clockrate=4.12] ((1:1,2:1):1,3:2);
end;
